import { migration } from "../test/bench/migration";
import { nodes } from "../test/bench/nodes";
import { retire } from "../test/bench/retire";
import { scale } from "../test/bench/scale";
import { services } from "../test/bench/services";

const benches: Readonly<Record<string, () => Promise<boolean>>> = { migration, nodes, retire, scale, services };

/** `npm run bench -- <name>`: exit 1 above the bench's bars, 2 for a name that is none. */
export async function main(args: string[]): Promise<number> {
  const bench = benches[args[0] ?? ""];
  if (!bench || args.length > 1) {
    process.stderr.write(`usage: npm run bench -- ${Object.keys(benches).join(" | ")}\n`);
    return 2;
  }
  return (await bench()) ? 0 : 1;
}
