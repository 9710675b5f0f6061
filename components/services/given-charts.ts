import type { Environment } from "../../environment/schema";
import { checkValues, type ChartUse } from "../../operations/charts/check-values";
import { versions } from "../../versions";
import { poolAnnouncers } from "./ingress-target";
import { isS3, longhornBackupSecret } from "./longhorn-backup";
import { longhornValues } from "./longhorn-release";
import { metallbValues } from "./metallb";

/**
 * Refuses a chart that the file gives by path and that would not take what is set of it. Called before anything is registered: it needs no cluster. The
 * charts of versions.ts are held to the same by a test with a chart at hand: test/unit/components/services/given-charts.test.ts.
 */
export function refuseGivenCharts(file: Environment): void {
  for (const { path, ...use } of chartUses(file)) {
    if (path !== undefined) checkValues({ ...use, path });
  }
}

/** What is set of which chart. */
export function chartUses(file: Environment): readonly (Omit<ChartUse, "path"> & { readonly path?: string })[] {
  const { longhorn, metallb } = versions.charts;
  return [
    {
      setting: "longhorn.chart.path",
      name: longhorn.chart,
      version: longhorn.version,
      values: longhornValues(file.longhorn, isS3(file.longhorn.backup) ? longhornBackupSecret : undefined),
      ...givenPath(file.longhorn.chart),
    },
    {
      setting: "loadBalancer.chart.path",
      name: metallb.chart,
      version: metallb.version,
      values: metallbValues(poolAnnouncers(file)),
      ...givenPath(file.loadBalancer.chart),
    },
  ];
}

function givenPath({ path }: Environment["longhorn"]["chart"]): { readonly path?: string } {
  return path === undefined ? {} : { path };
}
