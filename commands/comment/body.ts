/** By this line, at the very beginning, the comment is found again. */
export const marker = "<!-- home-cluster: what this pull request would do -->";

/** GitHub takes 65,536 characters; some are left for what it counts differently. */
export const limit = 65_000;

/** What the comment is about, all of it from GitHub and not from the pull request's own code. */
export interface Origin {
  readonly commit: string;
  readonly run: string;
}

/**
 * The comment's text around what the pull request's own code wrote, `undefined` when it wrote nothing. That code may be anybody's: what it wrote names nobody
 * (a mention sends mail), hides nothing by characters that turn or delete text, and is cut at a line when it is too long, with what it left open closed.
 */
export function body(written: string | undefined, { commit, run }: Origin): string {
  const end =
    `\n\n---\n<sub>Commit ${commit.slice(0, 12)}, [run](${run}). Computed by the code of this pull request: where it changes ` +
    "`diff/`, `rehearsal/` or `.github/`, read that first.</sub>\n";
  if (written === undefined || written.trim() === "") {
    return `${marker}\n**The diff of this commit came to no result**: why stands in the [run](${run}).${end}`;
  }
  const text = harmless(written);
  const room = limit - marker.length - 1 - end.length;
  return `${marker}\n${text.length <= room ? text : cut(text, room, run)}${end}`;
}

/** A word joiner after `@`: it looks the same and mentions nobody, in a code block too. */
export function harmless(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, "")
    .replace(/@(?=[\p{L}\p{N}_-])/gu, "@\u2060");
}

/** The longest beginning of whole lines that fits with its note, and with code blocks and folded parts closed. */
function cut(text: string, room: number, run: string): string {
  const note = `\n\n**Cut here: the whole has ${text.length} characters, more than a comment takes.** It is an artifact of the [run](${run}).`;
  const reserve = 400;
  const beginning = text.slice(0, Math.max(0, room - note.length - reserve));
  const lines = beginning.slice(0, Math.max(0, beginning.lastIndexOf("\n"))).split("\n");
  let fence: string | undefined;
  let folded = 0;
  for (const line of lines) {
    const [, mark] = /^\s{0,3}(`{3,}|~{3,})/.exec(line) ?? [];
    if (fence === undefined && mark !== undefined) fence = mark;
    else if (fence !== undefined && mark?.startsWith(fence) === true) fence = undefined;
    else if (fence === undefined) {
      folded += (line.match(/<details\b/g) ?? []).length - (line.match(/<\/details>/g) ?? []).length;
      folded = Math.max(0, folded);
    }
  }
  const closing = `${fence === undefined ? "" : `\n${fence}`}${"\n</details>".repeat(Math.min(folded, 20))}`;
  return `${lines.join("\n")}${closing.slice(0, reserve)}${note}`;
}
