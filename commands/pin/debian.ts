import { Refusal } from "../../operations/refusal";
import { debianFileName } from "../../versions";
import { ask, text, type Purpose } from "./web";

/** Where Debian keeps its cloud images. Its SHA512SUMS carry no signature: what vouches for them is this host's certificate. */
export const debianUrl = "https://cloud.debian.org/images/cloud";

/** A build is published file by file and may be withdrawn: how many folders, newest first, are looked into before giving up. */
const looks = 10;

export interface Build {
  readonly build: string;
  readonly sha512: string;
}

/**
 * The newest dated build of a release that has the image, and the image's checksum from its own SHA512SUMS. With `build` that very one. `daily` and
 * `latest` are no builds: what stands in versions.ts must still be there next year.
 */
export async function resolveBuild(
  path: string,
  debian: { readonly release: string; readonly version: string },
  base: string,
  build?: string,
): Promise<Build> {
  const folder = `${base}/${debian.release}/`;
  const purpose: Purpose = {
    what: `${path}: Debian ${debian.version} (${debian.release}) not resolved`,
    next: `mend ${path} in versions.ts, then npm run pin`,
  };
  const builds = build === undefined ? await listBuilds(folder, purpose) : [build];
  if (builds.length === 0) throw new Refusal({ ...purpose, why: `${folder}: holds no dated build` });
  const seen: string[] = [];
  for (const candidate of builds.slice(0, looks)) {
    const found = await lookInto(`${folder}${candidate}`, debianFileName({ ...debian, build: candidate }), purpose);
    if (found.sha512 !== undefined) return { build: candidate, sha512: found.sha512 };
    seen.push(`${candidate}: ${found.lacks}`);
  }
  throw new Refusal({ ...purpose, why: `${folder}: no build has the image: ${seen.join("; ")}` });
}

/** Build folders such as `20260814-2204`, newest first. */
async function listBuilds(folder: string, purpose: Purpose): Promise<string[]> {
  const listing = await text(folder, purpose);
  const builds = [...listing.matchAll(/href="(?:\.\/)?(\d{8}-\d+)\/"/g)].map(([, build]) => build ?? "");
  return [...new Set(builds)].sort().reverse();
}

/** The image's checksum, or what the folder lacks. */
async function lookInto(
  folder: string,
  fileName: string,
  purpose: Purpose,
): Promise<{ readonly sha512: string } | { readonly sha512?: undefined; readonly lacks: string }> {
  const sums = await ask(`${folder}/SHA512SUMS`, purpose);
  if (sums.status === 404) return { lacks: "no SHA512SUMS" };
  if (sums.status !== 200)
    throw new Refusal({ ...purpose, why: `${folder}/SHA512SUMS: ${sums.status} ${sums.statusText}` });
  const line = (await sums.text()).split("\n").find((candidate) => candidate.trimEnd().split(/\s+\*?/)[1] === fileName);
  if (line === undefined) return { lacks: `its SHA512SUMS does not name ${fileName}` };
  const [sha512 = ""] = line.split(/\s+/);
  if (!/^[0-9a-f]{128}$/.test(sha512)) {
    throw new Refusal({
      ...purpose,
      why: `${folder}/SHA512SUMS: "${sha512}" before ${fileName} is no SHA-512 checksum`,
    });
  }
  const image = await ask(`${folder}/${fileName}`, purpose, { method: "HEAD" });
  if (image.status === 404) return { lacks: `no ${fileName}` };
  if (image.status !== 200)
    throw new Refusal({ ...purpose, why: `${folder}/${fileName}: ${image.status} ${image.statusText}` });
  return { sha512 };
}
