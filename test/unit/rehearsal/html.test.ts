import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { judge } from "../../../rehearsal/checks";
import { html } from "../../../rehearsal/html";
import { report } from "../../../rehearsal/report";
import type { Rehearsal } from "../../../rehearsal/run";
import { Browser } from "../../support/browser";
import { missingPrograms } from "../../support/needs";
import { skip } from "../../support/needs";
import { rehearsalOf } from "../../support/story";

async function page(bend: (rehearsal: Rehearsal) => void = () => undefined, fail?: string): Promise<string> {
  const rehearsal = structuredClone(await rehearsalOf("home", fail));
  bend(rehearsal);
  return html(rehearsal, report(rehearsal, judge(rehearsal.story), fail));
}

const pictures = (text: string): string[] => text.match(/<svg [^]*?<\/svg>/g) ?? [];

describe("the rehearsal's page", function () {
  this.timeout(120_000);

  it("draws the home before and after, and a timeline of each layer in which something takes time", async () => {
    const [before = "", after = "", ...timelines] = pictures(await page());
    assert.match(before, /aria-label="The home before".*rancheros-1 \(101\)/);
    assert.doesNotMatch(before, /debian-1/);
    assert.match(after, /aria-label="The home after".*clients → 192\.168\.40\.5.*debian-1 \(201\)/);
    assert.doesNotMatch(after, /rancheros-1/);
    assert.deepEqual(
      timelines.map((picture) => /aria-label="([^"]*)"/.exec(picture)?.[1]),
      ["nodes", "services", "volumes"].map((layer) => `What took time in home-${layer}`),
    );
    assert.match(timelines[2] ?? "", /nextcloud-data-copy, \d+ min/);
  });

  it("names every check with what it came to, and every gate", async () => {
    const rehearsal = await rehearsalOf("home");
    const data = report(rehearsal, judge(rehearsal.story), undefined);
    const text = html(rehearsal, data);
    const escaped = (value: string): string => value.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
    for (const { name } of data.checks) assert.ok(text.includes(`<b class="ok">held</b> ${escaped(name)}`), name);
    for (const { name } of data.gates) assert.ok(text.includes(`<b>${escaped(name)}</b>`), name);
    assert.match(text, new RegExp(`<p class="verdict ok">all ${data.checks.length} checks held</p>`));
    const bent = await page((bend) => Object.assign(bend.story, { refusedDestroy: undefined }));
    assert.match(bent, /<p class="verdict no">1 of \d+ checks did not hold<\/p>/);
    assert.match(bent, /<b class="no">NOT held<\/b>/);
  });

  it("says what a fault left standing", async () => {
    const text = await page(undefined, "debian-2");
    assert.match(text, /<p class="verdict no">with the fault “debian-2”<\/p>/);
    for (const title of ["Failed", "Therefore not registered", "Left standing"])
      assert.match(text, new RegExp(`<h3>${title} \\(\\d+\\)`));
  });

  it("lets nothing of the environment become markup", async () => {
    const text = await page(({ story }) => {
      for (const vm of story.before.proxmox.vms) vm.name = '<img src="x">&';
    });
    assert.doesNotMatch(text, /<img/);
    assert.match(text, /&#60;img src=&#34;x&#34;&#62;&#38;/);
  });

  it("names no address to load anything from, and runs no script", async () => {
    const text = await page();
    assert.doesNotMatch(text, /<script|https?:|url\(|@import| on\w+=/);
    assert.match(text, /default-src 'none'/);
  });

  describe("in Chromium", () => {
    let browser: Browser | undefined;
    let folder: string;

    before(async function () {
      const missing = missingPrograms(["chromium"]);
      if (missing !== undefined) skip(this, missing);
      folder = mkdtempSync(join(tmpdir(), "page-"));
      browser = await Browser.start();
    });

    after(async () => {
      await browser?.stop();
      if (browser) rmSync(folder, { recursive: true });
    });

    const put = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return pathToFileURL(join(folder, name)).href;
    };

    for (const scheme of ["light", "dark"] as const) {
      for (const width of [360, 1280]) {
        it(`${width} pixels wide, ${scheme}: no complaint, no request, nothing cut off, text large and clear enough`, async () => {
          assert.ok(browser);
          const url = put("report.html", await page());
          const { console, requests, value } = await browser.look(url, { width, scheme }, measure);
          assert.deepEqual([console, requests.filter((address) => address !== "data:,")], [[], [url]]);
          const found = value as Measured;
          assert.equal(found.dark, scheme === "dark");
          assert.ok(found.texts > 200, `${found.texts}`);
          assert.deepEqual([found.wider, found.cut, found.small, found.faint], [0, [], [], []]);
        });
      }
    }

    it("another page's request, script error, width, small and faint text would have been seen", async () => {
      assert.ok(browser);
      const url = put(
        "wrong.html",
        `<meta name="viewport" content="width=device-width"><p style="width:900px;font-size:6px;color:#eee">faint</p>
         <img src="https://outside.invalid/x.png"><script>throw new Error("made up")</script>`,
      );
      const { console, requests, value } = await browser.look(url, { width: 360, scheme: "light" }, measure);
      const found = value as Measured;
      assert.ok(requests.includes("https://outside.invalid/x.png"));
      assert.match(console.join("\n"), /made up/);
      assert.ok(found.wider > 0);
      assert.deepEqual([found.small, found.faint], [["faint"], ["faint"]]);
    });
  });
});

interface Measured {
  readonly dark: boolean;
  readonly texts: number;
  /** Pixels that one would have to scroll sideways. */
  readonly wider: number;
  readonly cut: readonly string[];
  readonly small: readonly string[];
  readonly faint: readonly string[];
}

/** Runs in the page: every element with text of its own, how large it is drawn, and its contrast to the page (WCAG: 4.5). */
const measure = `(() => {
  const channels = (color) => (color.match(/[\\d.]+/g) ?? ["0", "0", "0"]).map(Number);
  const luminance = (color) => {
    const [r, g, b] = channels(color).slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const seen = (color) => channels(color)[3] !== 0;
  const page = [document.body, document.documentElement].map((e) => getComputedStyle(e).backgroundColor).find(seen) ?? "rgb(255, 255, 255)";
  const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const all = [...document.body.querySelectorAll("*")].filter((e) => !["STYLE", "SCRIPT", "title"].includes(e.tagName)
    && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim() !== ""));
  const words = (list) => list.map((e) => e.textContent.trim().slice(0, 60));
  const size = (e) => parseFloat(getComputedStyle(e).fontSize) * (e.ownerSVGElement ? e.getScreenCTM().a : 1);
  const ink = (e) => getComputedStyle(e)[e.ownerSVGElement ? "fill" : "color"];
  const edge = (e) => (e.ownerSVGElement ?? document.documentElement).getBoundingClientRect().right + 0.5;
  return {
    dark: luminance(page) < 0.2,
    texts: all.length,
    wider: Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth),
    cut: words(all.filter((e) => e.getBoundingClientRect().right > edge(e))),
    small: words(all.filter((e) => size(e) < 11)),
    faint: words(all.filter((e) => contrast(ink(e), page) < 4.5)),
  };
})()`;
