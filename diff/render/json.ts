import type { Report } from "../report";

/** The report as it is; its form is diff/report.ts. */
export function renderJson(report: Report): string {
  return JSON.stringify(report, undefined, 2);
}
