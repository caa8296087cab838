import { asReference, isScalar, scalarText, type Json, type JsonObject } from './json';

/** One line of the detail's tree. */
export interface TreeRow {
  /** Unique in the event: names and array places. */
  id: string;
  depth: number;
  /** The member's name, or the place in an array. */
  label: string;
  /** The field in the search language: array elements share their array's path. */
  field: string;
  /** The scalar's text; null for a branch, an object or an array. */
  value: string | null;
  /** A 'large' value is kept beside the log; `value` is then its hash. */
  kind: 'string' | 'number' | 'bool' | 'null' | 'branch' | 'large';
  /** For a branch: how many members it has. For a large value: its bytes. */
  size: number;
  /** Whether the field may stand in a query. */
  searchable: boolean;
}

// `v` is the format's version, not the sender's.
const NOT_FIELDS = new Set(['v']);

/** The event as lines, depth first; what is below a closed branch is left out. */
export function treeRows(event: JsonObject, closed: ReadonlySet<string>): TreeRow[] {
  const rows: TreeRow[] = [];
  const add = (value: Json, label: string, id: string, field: string, depth: number) => {
    const searchable = !NOT_FIELDS.has(field);
    if (isScalar(value)) {
      const kind =
        value === null
          ? 'null'
          : typeof value === 'string'
            ? 'string'
            : typeof value === 'boolean'
              ? 'bool'
              : 'number';
      rows.push({ id, depth, label, field, value: scalarText(value), kind, size: 0, searchable });
      return;
    }
    const reference = asReference(value);
    if (reference) {
      rows.push({
        id,
        depth,
        label,
        field,
        value: reference.hash,
        kind: 'large',
        size: reference.bytes,
        searchable: false,
      });
      return;
    }
    const members: [string, Json][] = Array.isArray(value) ? value.map((v, i) => [String(i), v]) : [...value];
    rows.push({
      id,
      depth,
      label,
      field,
      value: null,
      kind: 'branch',
      size: members.length,
      searchable: false,
    });
    if (closed.has(id)) return;
    for (const [name, inner] of members) {
      const path = Array.isArray(value) ? field : `${field}.${name}`;
      add(inner, name, `${id}/${name}`, path, depth + 1);
    }
  };
  for (const [name, value] of event) add(value, name, name, name, 0);
  return rows;
}
