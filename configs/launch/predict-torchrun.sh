#!/usr/bin/env bash
# Films → predictions, one process for each GPU of a machine (PROCESSES=2 for two):
#
#   configs/launch/predict-torchrun.sh FILMS PACKAGE OUT [options of cxr predict]
#
# On several machines set NODES, NODE_RANK (0, 1, ...) and MASTER_ADDR (the name of machine 0), and run it on each.
# No process speaks to another while films are scored; torchrun only starts them and says which is which.
set -euo pipefail

if [ "$#" -lt 3 ]; then
  echo "error: predict-torchrun.sh takes FILMS PACKAGE OUT, then options of cxr predict; got $# arguments" >&2
  exit 2
fi
films=$1 package=$2 out=$3
shift 3

if [ "${NODES:-1}" -gt 1 ]; then
  : "${NODE_RANK:?set NODE_RANK, from 0}" "${MASTER_ADDR:?set MASTER_ADDR to the name of machine 0}"
  where=(--nnodes "$NODES" --node-rank "$NODE_RANK" --master-addr "$MASTER_ADDR" --master-port "${MASTER_PORT:-29500}")
else
  where=(--standalone)
fi
torchrun "${where[@]}" --nproc-per-node "${PROCESSES:-gpu}" -m pipelines predict "$films" --model "$package" --out "$out" "$@"

# All processes of this machine are done; with several machines, join when the last one is.
if [ "${NODES:-1}" -eq 1 ]; then
  exec cxr predict merge "$out"
fi
