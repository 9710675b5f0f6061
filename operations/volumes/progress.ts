/** What the scripts in components/volumes/scripts print while they work; the form is part of docs/decisions/copy-and-verify.md. */
export interface Progress {
  readonly phase: string;
  readonly step: string;
  /** Done and in all; 0 in all where it is not known. */
  readonly bytes: readonly [number, number];
  readonly files: readonly [number, number];
  /** Bytes a second. */
  readonly rate: number;
  /** Seconds; undefined where nothing can be said yet. */
  readonly left: number | undefined;
}

const form =
  /^progress: phase=(?<phase>\w+) step=(?<step>\w+) bytes=(\d+)\/(\d+) files=(\d+)\/(\d+) rate=(\d+) left=(?:(\d+)|unknown)$/;

/** undefined for any other line. */
export function parseProgress(line: string): Progress | undefined {
  const found = form.exec(line);
  if (!found) return undefined;
  const [, phase = "", step = "", ...numbers] = found;
  const [bytes = 0, allBytes = 0, files = 0, allFiles = 0, rate = 0, left] = numbers.map((text) =>
    text === undefined ? undefined : Number(text),
  );
  return { phase, step, bytes: [bytes, allBytes], files: [files, allFiles], rate, left };
}

/** `warm copy: 42 %, 1.2 of 2.9 GiB, 1234 of 20000 files, 85.0 MiB/s, about 20 s left`. */
export function describeProgress({ phase, step, bytes, files, rate, left }: Progress): string {
  const [done, all] = bytes;
  return [
    `${phase} ${steps[step] ?? step}: ${all > 0 ? `${Math.min(100, Math.floor((100 * done) / all))} %` : "begins"}`,
    `${size(done)}${all > 0 ? ` of ${size(all)}` : ""}`,
    `${files[0]}${files[1] > 0 ? ` of ${files[1]}` : ""} files`,
    ...(rate > 0 ? [`${size(rate)}/s`] : []),
    ...(left === undefined ? [] : [`about ${duration(left)} left`]),
  ].join(", ");
}

const steps: Readonly<Record<string, string>> = {
  copy: "copy",
  compare: "copy, folder by folder",
  verify: "verification",
};

function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? String(value) : value.toFixed(1)} ${units[power] ?? ""}`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
