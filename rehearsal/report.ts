import Table from "cli-table3";
import type { Check } from "./checks";
import { gates, type Gate } from "./gates";
import { minutes, notRegistered, type Rehearsal } from "./run";
import type { Story } from "./story";
import { topology } from "./topology";

/** The rehearsal as data, for `--json`. */
export interface Report {
  readonly version: 1;
  readonly environment: string;
  readonly ok: boolean;
  /** MiB: the most memory that any layer's process held. */
  readonly peakMemory: number;
  readonly standIns: readonly string[];
  readonly layers: readonly {
    readonly stack: string;
    readonly resources: readonly {
      readonly urn: string;
      readonly type: string;
      readonly name: string;
      readonly finishedAt: number;
    }[];
    readonly failed: readonly { readonly urn: string; readonly message: string }[];
    readonly error: string | undefined;
  }[];
  readonly gates: readonly Gate[];
  readonly destroy:
    | {
        readonly deleted: readonly string[];
        readonly failed: readonly { readonly urn: string; readonly message: string }[];
        readonly notDeleted: readonly string[];
      }
    | undefined;
  readonly fault:
    | {
        readonly part: string;
        readonly failed: readonly string[];
        readonly notRegistered: readonly string[];
        readonly notDeleted: readonly string[];
        readonly leftStanding: readonly string[];
      }
    | undefined;
  readonly topology: { readonly before: string; readonly after: string };
  readonly checks: readonly Check[];
}

/** Gathers what both forms of output show. `fail` is the part given to --fail. */
export function report({ story, reference }: Rehearsal, checks: readonly Check[], fail: string | undefined): Report {
  const pairs = (failed: readonly (readonly [string, string])[]) => failed.map(([urn, message]) => ({ urn, message }));
  const failed = [...story.layers.flatMap((run) => run.failed), ...(story.destroy?.failed ?? [])];
  const after = (story.destroy ?? story.layers.at(-1))?.home ?? story.before;
  return {
    version: 1,
    environment: story.environmentName,
    ok: fail === undefined && checks.every((check) => check.holds),
    peakMemory: Math.max(0, ...story.layers.map((run) => run.peakMemory)),
    standIns: story.standIns,
    layers: story.layers.map((run) => ({
      stack: run.stack,
      resources: run.steps.map(({ registration: { urn, type, name }, finishedAt }) => ({
        urn,
        type,
        name,
        finishedAt,
      })),
      failed: pairs(run.failed),
      error: run.error,
    })),
    gates: gates(story),
    destroy: story.destroy && {
      deleted: story.destroy.deleted,
      failed: pairs(story.destroy.failed),
      notDeleted: story.destroy.notDeleted,
    },
    fault:
      fail === undefined || !reference
        ? undefined
        : {
            part: fail,
            failed: failed.map(([urn]) => urn),
            notRegistered: notRegistered(story, reference),
            notDeleted: story.destroy ? [...story.destroy.failed.map(([urn]) => urn), ...story.destroy.notDeleted] : [],
            leftStanding: leftStanding(story),
          },
    topology: { before: topology(story.environment, story.before), after: topology(story.environment, after) },
    checks,
  };
}

/** What exists in the home that was not there before, and old machines that still are: by kind and name. */
export function leftStanding(story: Story): readonly string[] {
  const after = (story.destroy ?? story.layers.at(-1))?.home ?? story.before;
  const key = (object: { kind?: string; metadata?: { namespace?: string; name?: string } }): string =>
    `${object.kind} ${object.metadata?.namespace === undefined ? "" : `${object.metadata.namespace}/`}${object.metadata?.name}`;
  const known = new Set(story.before.kubernetes.objects.map(key));
  return [
    ...after.proxmox.vms.map((vm) => `VM ${vm.vmId} ${vm.name} (${vm.status})`),
    ...after.kubernetes.objects.map(key).filter((name) => !known.has(name)),
  ];
}

/** The report for a person. */
export function render(data: Report): string {
  const parts: string[] = [];
  parts.push(heading("What each layer creates"), layerTable(data));
  parts.push(heading("Gates, in the order in which they opened"), gateTable(data));
  parts.push(heading("Before"), data.topology.before, heading("After"), data.topology.after);
  if (data.standIns.length > 0)
    parts.push(
      heading("Stood in for"),
      `${data.standIns.join(", ")}\n(versions: \`npm run pin\`; secrets: README, "Secrets")`,
    );
  if (data.fault) parts.push(heading(`The fault: --fail ${data.fault.part}`), faultText(data.fault));
  parts.push(heading("Checks"), checkTable(data.checks));
  return parts.join("\n");
}

function heading(text: string): string {
  return `\n${text}\n${"─".repeat(text.length)}`;
}

function layerTable(data: Report): string {
  const table = new Table({ head: ["stack", "resources", "of type"], style: { head: [], border: [] } });
  for (const layer of data.layers) {
    const counts = new Map<string, number>();
    for (const resource of layer.resources) counts.set(resource.type, (counts.get(resource.type) ?? 0) + 1);
    const types = [...counts].sort(([a], [b]) => a.localeCompare(b)).map(([type, count]) => `${count} × ${type}`);
    table.push([layer.stack, String(layer.resources.length), types.join("\n")]);
  }
  return table.toString();
}

function gateTable(data: Report): string {
  const table = new Table({ head: ["after", "layer", "gate", "what", "waiting"], style: { head: [], border: [] } });
  for (const gate of data.gates)
    table.push([minutes(gate.openedAt), gate.layer, gate.name, gate.what, String(gate.waiting)]);
  return table.toString();
}

function checkTable(checks: readonly Check[]): string {
  const table = new Table({
    head: ["", "check", "found"],
    colWidths: [4, 62, 60],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const check of checks) table.push([check.holds ? "ok" : "NO", check.name, check.detail]);
  return table.toString();
}

function faultText(fault: NonNullable<Report["fault"]>): string {
  const list = (title: string, items: readonly string[]): string =>
    `${title} (${items.length}):\n${items.map((item) => `  ${item}`).join("\n")}`;
  return [
    list("failed", fault.failed),
    list("therefore not registered", fault.notRegistered),
    list("therefore not deleted", fault.notDeleted),
    list("left standing", fault.leftStanding),
  ].join("\n");
}
