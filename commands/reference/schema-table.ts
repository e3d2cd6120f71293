/** A zod schema as rows of a table: one a key, with its default and what it is for. */

/** As much of a zod schema as documentation reads. */
export type SchemaNode = {
  readonly description?: string;
  readonly shape?: Readonly<Record<string, SchemaNode>>;
  readonly def?: {
    readonly type?: string;
    readonly innerType?: SchemaNode;
    readonly in?: SchemaNode;
    readonly element?: SchemaNode;
    readonly valueType?: SchemaNode;
    readonly options?: readonly SchemaNode[];
    readonly entries?: Readonly<Record<string, string>>;
    readonly values?: readonly unknown[];
    readonly defaultValue?: unknown;
  };
};

/** A heading and a table of all keys below a schema. */
export const keyTable = (title: string, node: unknown, prefix = ""): readonly string[] => [
  `## ${title}`,
  "",
  "| key | takes | default | |",
  "|---|---|---|---|",
  ...rowsOf(node as SchemaNode, prefix),
  "",
];

function rowsOf(node: SchemaNode, prefix: string): readonly string[] {
  const inner = unwrapped(node);
  const rows = Object.entries(inner.shape ?? {}).flatMap(([key, value]) => {
    const path = `${prefix}${key}`;
    const [takes, fallback] = [takesOf(value), defaultOf(value)];
    return [`| \`${path}\` | ${takes} | ${fallback} | ${value.description ?? ""} |`, ...rowsOf(value, `${path}.`)];
  });
  const { element, valueType, options = [] } = inner.def ?? {};
  const below = [
    ...(element ? rowsOf(element, `${prefix.slice(0, -1)}[].`) : []),
    ...(valueType ? rowsOf(valueType, `${prefix}*.`) : []),
    ...options.flatMap((option) => rowsOf(option, prefix)),
  ];
  return [...rows, ...below];
}

/** Without optional, default, prefault and transformations around it. */
function unwrapped(node: SchemaNode): SchemaNode {
  const inner = node.def?.innerType ?? node.def?.in;
  return inner ? unwrapped(inner) : node;
}

function takesOf(node: SchemaNode): string {
  const { type = "", entries, element, values, options } = unwrapped(node).def ?? {};
  if (entries) return choices(Object.values(entries));
  if (values) return choices(values);
  const literals = (options ?? []).map((option) => unwrapped(option).def?.values);
  if (type === "union" && options)
    return literals.every((each) => each !== undefined) ? choices(literals.flat()) : takesOf(options[0] ?? {});
  if (element) return `list of ${takesOf(element)}`;
  return { object: "block", record: "block", string: "text", unknown: "" }[type] ?? type;
}

const choices = (values: readonly unknown[]): string => values.map((value) => `\`${value}\``).join(" ");

function defaultOf(node: SchemaNode): string {
  const { type, defaultValue, innerType } = node.def ?? {};
  if (type === "optional") return "optional";
  if (defaultValue !== undefined) return `\`${JSON.stringify(defaultValue)}\``.replaceAll("|", "\\|");
  return innerType ? defaultOf(innerType) : "required";
}
