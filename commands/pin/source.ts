import * as ts from "typescript";
import { unresolved } from "../../versions";

/** A value in the source of versions.ts: a string literal, or the name `unresolved`. */
export interface Leaf {
  /** Keys from `versions` on, such as `images.copy.digest`. */
  readonly path: string;
  readonly value: string;
  /** Where it stands in the source. */
  readonly start: number;
  readonly end: number;
}

/**
 * Every value below `export const versions`, read from the text and not by running it, so that each comes with its place. Throws for a value that is neither
 * a literal nor `unresolved`: rewriting such a one would lose what it meant.
 */
export function readLeaves(source: string): readonly Leaf[] {
  const file = ts.createSourceFile("versions.ts", source, ts.ScriptTarget.Latest, true);
  for (const statement of file.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name, initializer } of statement.declarationList.declarations) {
      if (ts.isIdentifier(name) && name.text === "versions" && initializer) return leavesOf(initializer, "", file);
    }
  }
  throw new Error("versions.ts: no `export const versions = {…}` in it");
}

function leavesOf(node: ts.Expression, path: string, file: ts.SourceFile): readonly Leaf[] {
  const place = { path, start: node.getStart(file), end: node.getEnd() };
  if (ts.isStringLiteral(node)) return [{ ...place, value: node.text }];
  if (ts.isIdentifier(node) && node.text === "unresolved") return [{ ...place, value: unresolved }];
  if (ts.isAsExpression(node) || ts.isSatisfiesExpression(node)) return leavesOf(node.expression, path, file);
  if (ts.isObjectLiteralExpression(node)) {
    return node.properties.flatMap((property) => {
      if (
        !ts.isPropertyAssignment(property) ||
        !(ts.isIdentifier(property.name) || ts.isStringLiteral(property.name))
      ) {
        throw new Error(
          `versions.ts: ${path || "versions"} holds \`${property.getText(file)}\`, which is no plain property`,
        );
      }
      const key = property.name.text;
      return leavesOf(property.initializer, path === "" ? key : `${path}.${key}`, file);
    });
  }
  throw new Error(`versions.ts: ${path} is \`${node.getText(file)}\`, neither a text nor \`unresolved\``);
}

/** The source with the given values in their places; every other character stays as it is. */
export function withValues(source: string, values: ReadonlyMap<string, string>): string {
  return [...readLeaves(source)]
    .sort((one, other) => other.start - one.start)
    .reduce((text, { path, start, end }) => {
      const value = values.get(path);
      return value === undefined ? text : `${text.slice(0, start)}${JSON.stringify(value)}${text.slice(end)}`;
    }, source);
}
