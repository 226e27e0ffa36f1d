#!/bin/bash
# Trains on a TPU pod slice, one process a host, from a machine with gcloud:
#
#     TPU=my-slice ZONE=europe-west4-b recipes/tpu_vm.sh --config=configs/imagenet256/dit_xl_2.py --workdir=/mnt/runs/dit
#
# Every host runs the same command; the hosts find each other by the slice's own metadata. /mnt/runs is a bucket
# that each host has mounted (gcsfuse), and ~/diffjax a checkout of this repository on each host.

set -euo pipefail
: "${TPU:?the name of the slice}" "${ZONE:?its zone}"

printf -v arguments '%q ' "$@"
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="
  set -e
  cd ~/diffjax
  python3 -m pip install --quiet --editable . 'jax[tpu]' --constraint constraints.txt
  export JAX_COMPILATION_CACHE_DIR=\$HOME/.jax_cache
  until python3 -m diffjax.train --distributed $arguments; do
    [ \$? -ne 2 ] || exit 2  # a mistake, which a restart does not mend
    sleep 10
  done"
