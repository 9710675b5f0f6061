import { utils } from "ssh2";

/**
 * A new Ed25519 pair. ssh2 (1.17) drops a leading zero byte of a key that it makes and then cannot read it itself: one pair in two hundred, which is made again
 * here. Keys of ssh-keygen have no such fault.
 */
export function sshKeys(): utils.KeyPairReturn {
  for (;;) {
    const keys = utils.generateKeyPairSync("ed25519");
    if (![keys.private, keys.public].some((key) => utils.parseKey(key) instanceof Error)) return keys;
  }
}
