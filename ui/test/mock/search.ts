/** A small reading of the search language over parsed entries: what the page's tests need of the real one. */

export interface Row {
  ledger: string;
  index: number;
  time: number;
  entry: string;
  event: Record<string, unknown>;
}

export type Predicate = (row: Row) => boolean;

export class SyntaxProblem extends Error {
  constructor(
    message: string,
    readonly position: number,
    readonly length: number,
    readonly expected: string,
  ) {
    super(message);
  }
}

export function parseQuery(query: string): Predicate {
  let at = 0;
  const space = () => {
    while (/\s/.test(query.charAt(at)) && at < query.length) at++;
  };
  const bytes = (upTo: number) => Buffer.byteLength(query.slice(0, upTo));
  const fail = (message: string, from: number, to: number, expected: string): never => {
    throw new SyntaxProblem(message, bytes(from), Math.max(1, bytes(to) - bytes(from)), expected);
  };
  const word = (name: string) => {
    space();
    const rest = query.slice(at);
    if (!rest.startsWith(name) || /[^\s(]/.test(rest.charAt(name.length))) return false;
    at += name.length;
    return true;
  };

  function either(field?: string): Predicate {
    let left = both(field);
    while (word('OR')) {
      const [a, b] = [left, both(field)];
      left = (row) => a(row) || b(row);
    }
    return left;
  }

  function both(field?: string): Predicate {
    const parts: Predicate[] = [];
    for (;;) {
      space();
      word('AND');
      space();
      if (at >= query.length || query[at] === ')' || /^OR(?=\s|\(|$)/.test(query.slice(at))) break;
      parts.push(unary(field));
    }
    if (parts.length === 0) fail('nothing to search for here', at, at + 1, 'a word, a phrase or field:value');
    return (row) => parts.every((part) => part(row));
  }

  function unary(field?: string): Predicate {
    space();
    if (query[at] === '-' || word('NOT')) {
      if (query[at] === '-') at++;
      const inner = unary(field);
      return (row) => !inner(row);
    }
    if (query[at] === '(') {
      const open = at++;
      const inner = either(field);
      space();
      if (query[at] !== ')') fail('this parenthesis is never closed', open, open + 1, ')');
      at++;
      return inner;
    }
    return term(field);
  }

  function term(field?: string): Predicate {
    const start = at;
    if (query[at] === '"' || (query[at] === '/' && field !== undefined)) {
      const mark = query[at];
      let end = at + 1;
      while (end < query.length && query[end] !== mark) end += query[end] === '\\' ? 2 : 1;
      if (end >= query.length)
        fail(
          mark === '"' ? 'this phrase is never closed' : 'this pattern is never closed',
          start,
          query.length,
          mark ?? '',
        );
      const text = query.slice(at + 1, end).replace(/\\(.)/g, '$1');
      at = end + 1;
      if (mark === '/') return match(field, new RegExp(`^(?:${query.slice(start + 1, end)})$`));
      return field === undefined ? contains(text) : equals(field, text);
    }
    while (
      at < query.length &&
      !/[\s()"]/.test(query.charAt(at)) &&
      (query[at] !== ':' || field !== undefined)
    )
      at += query[at] === '\\' ? 2 : 1;
    const text = query.slice(start, at);
    if (query[at] === ':' && field === undefined) {
      at++;
      const name = text.replace(/\\(.)/g, '$1');
      if (query[at] === '(') return unary(name);
      if (at >= query.length || /\s/.test(query.charAt(at)))
        fail('a value is missing', at - 1, at, 'a value after the colon');
      const compare = /^(>=|<=|>|<)(-?[\d.]+)/.exec(query.slice(at));
      if (compare) {
        at += compare[0].length;
        return (row) =>
          values(row.event, name).some((v) => ordered(Number(v), compare[1] ?? '', Number(compare[2])));
      }
      return term(name);
    }
    if (text === '') fail('unexpected character', at, at + 1, 'a word, a phrase or field:value');
    const plain = text.replace(/\\(.)/g, '$1');
    if (field === undefined)
      return /[*?]/.test(text) ? match(undefined, wildcard(text.toLowerCase())) : contains(plain);
    if (text === '*') return (row) => values(row.event, field).length > 0;
    return /[*?]/.test(text) ? match(field, wildcard(text)) : equals(field, plain);
  }

  if (query.trim() === '') return () => true;
  const whole = either();
  space();
  if (at < query.length) fail('nothing is open that this could close', at, at + 1, 'the end of the query');
  return whole;
}

const ordered = (v: number, op: string, n: number) =>
  op === '>=' ? v >= n : op === '<=' ? v <= n : op === '>' ? v > n : v < n;
const wildcard = (text: string) =>
  new RegExp(
    `^${text
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*/g, '.*')
      .replace(/\?/g, '.')}$`,
  );

function contains(text: string): Predicate {
  const low = text.toLowerCase();
  return (row) => row.entry.toLowerCase().includes(low);
}

function equals(field: string, text: string): Predicate {
  const low = text.toLowerCase();
  return (row) =>
    values(row.event, field).some((v) =>
      field === 'message' ? String(v).toLowerCase().includes(low) : String(v) === text,
    );
}

function match(field: string | undefined, pattern: RegExp): Predicate {
  if (field === undefined)
    return (row) =>
      row.entry
        .toLowerCase()
        .split(/[^\p{L}\p{N}_]+/u)
        .some((w) => pattern.test(w));
  return (row) => values(row.event, field).some((v) => pattern.test(String(v)));
}

export function values(event: unknown, path: string): unknown[] {
  if (Array.isArray(event)) return event.flatMap((v) => values(v, path));
  if (path === '') return event === undefined || event === null ? [] : [event];
  if (event === null || typeof event !== 'object') return [];
  const out: unknown[] = [];
  for (const [name, value] of Object.entries(event)) {
    if (path === name) out.push(...values(value, ''));
    else if (path.startsWith(`${name}.`)) out.push(...values(value, path.slice(name.length + 1)));
  }
  return out;
}
