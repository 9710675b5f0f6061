import assert from "node:assert/strict";
import { asked, cutOver, ledgerOf, picture, rollback, steps, warmHome, type Way } from "../../../support/cutover";
import type { MigrationHome } from "../../../support/volumes";

describe("try", () => {
  let at: MigrationHome;
  beforeEach(async () => {
    at = await warmHome();
  });
  for (const way of ["new-claim", "same-name"] as Way[]) {
    it(way, async () => {
      console.log(await picture(at));
      await cutOver(at.clients, asked(way)).catch((e: unknown) => {
        console.log(at.lines.join("\n"));
        throw e;
      });
      console.log(at.lines.join("\n"));
      console.log(await picture(at), await ledgerOf(at));
    });
    for (const last of steps)
      it(`${way} back from ${last}`, async () => {
        await cutOver(at.clients, asked(way), last);
        at.lines.length = 0;
        const r = await rollback(at.clients);
        console.log(r, at.lines.join("\n"));
        console.log(await picture(at), (await ledgerOf(at)).rollback);
      });
  }
});
