// Makes Node run this project's TypeScript as it is: transpiled in memory by swc, never checked (`npm run types` does that). Pulumi itself uses ts-node for
// index.ts; we do not, because ts-node keeps V8's code cache of the whole TypeScript compiler in the temporary folder, and processes that start together
// crashed on it while another one wrote it (tried: thirty nodes in one `up`). It is also 0.17 s of processor time faster per operation.
const { transformSync } = require("@swc/core");
const { addHook } = require("pirates");

const options = {
  swcrc: false,
  sourceMaps: "inline",
  module: { type: "commonjs", noInterop: false },
  jsc: { target: "es2022", parser: { syntax: "typescript", dynamicImport: true }, keepClassNames: true },
};

process.setSourceMapsEnabled(true);
addHook((code, filename) => transformSync(code, { ...options, filename }).code, { exts: [".ts"] });
