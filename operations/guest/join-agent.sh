#!/bin/bash
# Registers this node with Rancher for an rke2 or k3s cluster: Rancher's own system-agent-install.sh, told everything through the environment instead of
# arguments, where each user of the machine could read the token. Run as root, over pinned SSH, with this text on standard input.
#
# Settings: NODE_NAME ADDRESS ROLES (a,b) LABELS (k=v,k=v) SERVER CA_CHECKSUM (may be empty)
# Secrets:  TOKEN, AGENT_ENVIRONMENT (lines K=V, may be empty)
# ROOT:     where the file system is; empty except in tests
set -euo pipefail
ROOT="${ROOT:-}"

readonly connection=/var/lib/rancher/agent/rancher2_connection_info.json

main() {
  local folder line trust=()
  # Written only once Rancher accepted the node.
  if [[ -s "$ROOT$connection" ]] && systemctl is-active --quiet rancher-system-agent; then
    echo "already joined"
    return 0
  fi
  umask 077
  folder=$(mktemp --directory)
  # shellcheck disable=SC2064 # the name as it is now
  trap "rm -rf '$folder'" EXIT
  while IFS= read -r line; do
    # What the cluster wants in its agents' environment, such as a proxy.
    if [[ "$line" == *=* ]]; then export "${line?}"; fi
  done <<<"$AGENT_ENVIRONMENT"

  # A private CA is fetched unverified and believed only if it has the checksum that Rancher gave us over a verified connection.
  if [[ -n "$CA_CHECKSUM" ]]; then
    curl --insecure --silent --show-error --fail --location --max-time 60 "$SERVER/cacerts" --output "$folder/ca.pem"
    if [[ "$(sha256sum <"$folder/ca.pem" | cut -d ' ' -f 1)" != "$CA_CHECKSUM" ]]; then
      echo "refused: the CA certificate at $SERVER/cacerts is not the one that Rancher names" >&2
      exit 1
    fi
    trust=(--cacert "$folder/ca.pem")
    export CATTLE_CA_CHECKSUM="$CA_CHECKSUM"
  fi
  curl "${trust[@]}" --silent --show-error --fail --location --max-time 60 "$SERVER/system-agent-install.sh" --output "$folder/install.sh"

  export CATTLE_SERVER="$SERVER" CATTLE_TOKEN="$TOKEN" CATTLE_NODE_NAME="$NODE_NAME"
  export CATTLE_ADDRESS="$ADDRESS" CATTLE_INTERNAL_ADDRESS="$ADDRESS"
  export CATTLE_LABELS="cattle.io/os=linux${LABELS:+,$LABELS}"
  [[ ",$ROLES," != *,controlplane,* ]] || export CATTLE_ROLE_CONTROLPLANE=true
  [[ ",$ROLES," != *,etcd,* ]] || export CATTLE_ROLE_ETCD=true
  [[ ",$ROLES," != *,worker,* ]] || export CATTLE_ROLE_WORKER=true
  # It asks again for six hours when Rancher refuses the token.
  timeout 900 sh "$folder/install.sh" >&2
  echo "joining"
}

main </dev/null
