// Tests are transpiled as Pulumi runs the program; `npm run types` has checked them.
const path = require("node:path");
require("ts-node").register({ project: path.join(__dirname, "..", "tsconfig.pulumi.json") });
