import type { Finding } from "./problem";
import * as access from "./rules/access";
import * as addresses from "./rules/addresses";
import * as cards from "./rules/cards";
import * as etcd from "./rules/etcd";
import * as ingress from "./rules/ingress";
import * as longhorn from "./rules/longhorn";
import * as names from "./rules/names";
import * as networks from "./rules/networks";
import * as pools from "./rules/pools";
import * as storage from "./rules/storage";
import * as versions from "./rules/versions";
import * as volumes from "./rules/volumes";
import type { Environment } from "./schema";

/**
 * A cross-field rule: a pure function that names everything it finds wrong. Its own name is what a problem carries, so it says what is wrong, not what is wanted. It may
 * throw `Unusable` by reading what the file does not hold in a usable form; it then reports nothing. No rule knows the name of an operating system.
 */
export type Rule = (environment: Environment) => readonly Finding[];

/** All of them, in the order in which they report: every function that a file in rules/ exports is a rule. */
export const rules: readonly Rule[] = [
  versions,
  access,
  networks,
  names,
  addresses,
  cards,
  etcd,
  storage,
  pools,
  ingress,
  longhorn,
  volumes,
].flatMap((topic): Rule[] => Object.values(topic));
