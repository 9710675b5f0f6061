import type { Finding } from "../agreement";
import { holdOf } from "./hold";
import { levers } from "./levers";
import { ownerName, type PauseRecord } from "./record";
import type { Workload } from "./template";

/** What looking for undoers collects. */
export interface Found {
  readonly paused: PauseRecord[];
  readonly findings: Finding[];
  readonly notes: string[];
}

/** Noted for a pause, unless a person has paused it already. */
export function pause(object: Workload, kind: PauseRecord["kind"], found: Found): void {
  const { apiVersion = "", metadata } = object;
  const { namespace = "", name = "", uid = "" } = metadata ?? {};
  const record: PauseRecord = { apiVersion, kind, namespace, name, uid };
  if (levers[kind].atRest(object) && !holdOf(object)) found.notes.push(`${ownerName(record)} is paused already`);
  else found.paused.push(record);
}
