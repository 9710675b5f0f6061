import type { Connect } from "./dispatch";

/** The real clients, each made only when an operation needs it. */
export const connect: Connect = () => {
  throw new Error("not built yet");
};
