// @ts-check
const tseslint = require("typescript-eslint");
const pulumi = require("@pulumi/eslint-plugin");

module.exports = tseslint.config(
  { ignores: ["node_modules/", "coverage/", ".cache/"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: __dirname } },
    plugins: { "@pulumi": pulumi },
    rules: {
      // The two mistakes that a Pulumi program makes in silence: an Output printed as text, a promise nobody awaits.
      "@pulumi/no-output-in-template-literal": "error",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/require-await": "off",
      eqeqeq: "error",
      "no-restricted-imports": "off",
    },
  },
  {
    // Arrows point one way: index → stacks → components → operations, environment, versions.
    files: [
      "environment/**/*.ts",
      "operations/**/*.ts",
      "components/**/*.ts",
      "stacks/**/*.ts",
      "index.ts",
      "versions.ts",
    ],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              group: ["**/rehearsal/**", "**/test/**", "**/commands/**"],
              message: "Product code never imports rehearsal, test or commands.",
            },
          ],
        },
      ],
    },
  },
  {
    files: ["environment/**/*.ts", "operations/**/*.ts", "versions.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              group: ["**/rehearsal/**", "**/test/**", "**/commands/**", "**/components/**", "**/stacks/**"],
              message: "environment, operations and versions stand below components and stacks.",
            },
          ],
        },
      ],
    },
  },
  {
    files: ["components/**/*.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              group: ["**/rehearsal/**", "**/test/**", "**/commands/**", "**/stacks/**"],
              message: "Components know nothing about this deployment.",
            },
          ],
        },
      ],
    },
  },
);
