import { recordingVersion, type Recording, type Reply, type Request } from "../format";
import { planSide, recordSide } from "./record-side";

/** Answers each request over the channel to the parent, and ends with it. */
export function serve(): void {
  let recorded: { readonly recording: Recording; readonly secretTexts: Parameters<typeof recordSide>[1] } | undefined;
  const answer = async (request: Request): Promise<Reply> => {
    if (request.version !== recordingVersion)
      return { kind: "failure", message: `speaks version ${recordingVersion}, not ${request.version}` };
    if (request.kind === "record") {
      const { secretTexts } = request;
      recorded = { recording: await recordSide(process.cwd(), secretTexts), secretTexts };
      return { kind: "recording", recording: recorded.recording };
    }
    if (!recorded) return { kind: "failure", message: "nothing was recorded yet" };
    return {
      kind: "plan",
      plan: await planSide(process.cwd(), request.base, recorded.recording, recorded.secretTexts),
    };
  };
  process.on("message", (request: Request) => {
    void answer(request)
      .catch((error: unknown): Reply => ({
        kind: "failure",
        message: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }))
      .then((reply) => process.send?.(reply));
  });
}
