#!/bin/bash
# Registers this node with Rancher for an rke1 cluster: runs Rancher's agent, as its own node command does, but with everything in the container's environment
# instead of arguments, where each user of the machine could read the token. Run as root, over pinned SSH, with this text on standard input.
#
# Settings: NODE_NAME ADDRESS ROLES (a,b) LABELS (k=v,k=v) SERVER CA_CHECKSUM (may be empty) AGENT_IMAGE
# Secrets:  TOKEN, AGENT_ENVIRONMENT (lines K=V, may be empty)
set -euo pipefail

readonly name=home-cluster-join

main() {
  local env_file other
  # rke1 names its containers itself: where there is a kubelet, the registration is over.
  if docker container inspect kubelet >/dev/null 2>&1; then
    echo "already joined"
    return 0
  fi
  # An agent that somebody started by hand; a second one would register the same node twice. Pods of the cluster carry a namespace.
  other=$(docker ps --filter label=io.cattle.agent=true --format '{{.Names}} {{.Label "io.kubernetes.pod.namespace"}}' |
    awk -v ours="$name" 'NF == 1 && $1 != ours && $1 !~ /share-mnt/ { print $1 }')
  if [[ -n "$other" ]]; then
    echo "already joining through ${other//$'\n'/ }"
    return 0
  fi
  # Ours from a run before: its token may have expired. Rancher knows a node by its name, so the new one continues the same registration.
  docker rm --force "$name" >/dev/null 2>&1 || true

  umask 077
  env_file=$(mktemp)
  # shellcheck disable=SC2064 # the name as it is now
  trap "rm -f '$env_file'" EXIT
  # printf is built into the shell: nothing of this appears in a list of processes.
  {
    printf '%s\n' "CATTLE_SERVER=$SERVER" "CATTLE_TOKEN=$TOKEN" "CATTLE_NODE_NAME=$NODE_NAME" "CATTLE_ROLE=$ROLES" \
      "CATTLE_ADDRESS=$ADDRESS" "CATTLE_INTERNAL_ADDRESS=$ADDRESS" "CATTLE_NODE_LABEL=$LABELS"
    if [[ -n "$CA_CHECKSUM" ]]; then printf '%s\n' "CATTLE_CA_CHECKSUM=$CA_CHECKSUM"; fi
    if [[ -n "$AGENT_ENVIRONMENT" ]]; then printf '%s\n' "$AGENT_ENVIRONMENT"; fi
  } >"$env_file"
  docker run --detach --name "$name" --privileged --restart=unless-stopped --net=host \
    --volume /etc/kubernetes:/etc/kubernetes --volume /var/run:/var/run --env-file "$env_file" "$AGENT_IMAGE" >/dev/null
  echo "joining"
}

main </dev/null
