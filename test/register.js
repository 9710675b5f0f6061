// Tests are transpiled as Pulumi runs the program; `npm run types` has checked them.
require("../transpile.js");
