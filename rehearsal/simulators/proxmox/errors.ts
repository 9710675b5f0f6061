/** What Proxmox answers instead of doing it: its status and its words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** By parameter. */
    readonly errors?: Readonly<Record<string, string>>,
  ) {
    super(message);
  }
}

/** Whatever Proxmox dies of. Most of what others answer with 404 or 409 is a 500 there. */
export function failure(message: string): ApiError {
  return new ApiError(500, message);
}

export function wrongParameter(name: string, why: string): ApiError {
  return new ApiError(400, "Parameter verification failed.", { [name]: why });
}

/** Without telling what is missing, as some of its checks do. */
export function forbidden(what?: string): ApiError {
  return new ApiError(403, `Permission check failed${what === undefined ? "" : ` (${what})`}`);
}

/** Not in this simulator: a test that comes here needs more of it. */
export function notSimulated(what: string): ApiError {
  return new ApiError(501, `not simulated: ${what}`);
}
