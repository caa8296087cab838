/**
 * The search language as the query line needs it: colours, completion, and adding a filter. The server's parser
 * has the last word on what is right (`GET /api/v1/query`); nothing here refuses anything.
 */
export type TokenKind =
  | 'space'
  | 'paren'
  | 'not'
  | 'word'
  | 'field'
  | 'compare'
  | 'value'
  | 'phrase'
  | 'regex'
  | 'range'
  | 'operator';

export interface Token {
  kind: TokenKind;
  /** UTF-16 offsets into the query. */
  start: number;
  end: number;
  /** For what stands on the right of a colon: the field it belongs to. */
  field?: string;
}

const OPERATORS = new Set(['AND', 'OR', 'NOT', 'TO', '&&', '||']);

export function lex(query: string): Token[] {
  const tokens: Token[] = [];
  // Fields of the open parentheses: in `host:(web1 OR web2)` both words are values of host.
  const groups: (string | undefined)[] = [];
  let field: string | undefined;
  let at = 0;
  const push = (kind: TokenKind, end: number, of = field) => {
    tokens.push(of === undefined ? { kind, start: at, end } : { kind, start: at, end, field: of });
    at = end;
  };
  const current = () => field ?? groups[groups.length - 1];
  while (at < query.length) {
    const c = query.charAt(at);
    if (/\s/.test(c)) {
      const before = tokens[tokens.length - 1]?.kind;
      push('space', run(query, at, /\s/), undefined);
      // `status: 500` and `status:> 500` are one term.
      if (before !== 'field' && before !== 'compare') field = undefined;
    } else if (c === '(') {
      groups.push(current());
      push('paren', at + 1, undefined);
      field = undefined;
    } else if (c === ')') {
      groups.pop();
      push('paren', at + 1, undefined);
      field = undefined;
    } else if (c === '"') {
      push('phrase', closing(query, at, '"'), current());
    } else if (c === '/' && (current() !== undefined || query.indexOf('/', at + 1) > 0)) {
      push('regex', closing(query, at, '/'), current());
    } else if ((c === '[' || c === '{') && field !== undefined) {
      const end = query.slice(at).search(/[\]}]/);
      push('range', end < 0 ? query.length : at + end + 1, current());
    } else if (field !== undefined && /[<>=]/.test(c)) {
      push('compare', run(query, at, /[<>=]/), field);
    } else if ((c === '-' || c === '!' || c === '+') && field === undefined) {
      push('not', at + 1, undefined);
    } else {
      const end = wordEnd(query, at, current() !== undefined);
      const word = query.slice(at, end);
      if (field === undefined && query[end] === ':' && end > at) {
        push('field', end + 1, undefined);
        field = word;
      } else if (field === undefined && OPERATORS.has(word)) push('operator', end, undefined);
      else push(current() === undefined ? 'word' : 'value', Math.max(end, at + 1), current());
    }
  }
  return tokens;
}

function run(text: string, at: number, of: RegExp): number {
  while (at < text.length && of.test(text.charAt(at))) at++;
  return at;
}

function closing(text: string, at: number, mark: string): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === mark) return i + 1;
  }
  return text.length;
}

/** Values may hold colons (IPv6 addresses); names end at theirs. */
function wordEnd(text: string, at: number, value: boolean): number {
  let i = at;
  for (; i < text.length; i++) {
    const c = text.charAt(i);
    if (c === '\\') i++;
    else if (/[\s()"]/.test(c) || (c === ':' && !value)) break;
  }
  return Math.min(i, text.length);
}

/** What a value looks like in a query: bare when no character of it means anything there, else quoted. */
export function quote(value: string): string {
  if (/^[\p{L}\p{N}_][\p{L}\p{N}_.@-]*$/u.test(value) && !OPERATORS.has(value)) return value;
  return `"${value.replace(/[\\"]/g, '\\$&')}"`;
}

/** A field name as it stands before the colon; what would end it is escaped. */
export function fieldName(name: string): string {
  return name.replace(/[\\\s():"<>=*?/[\]{}]|^[-+!]/g, '\\$&');
}

export interface Filter {
  field: string;
  /** Null asks for events that lack the field. */
  value: string | null;
  out: boolean;
}

export function clause(filter: Filter): string {
  if (filter.value === null) return `${filter.out ? '' : '-'}${fieldName(filter.field)}:*`;
  return `${filter.out ? '-' : ''}${fieldName(filter.field)}:${quote(filter.value)}`;
}

interface Span {
  start: number;
  end: number;
}

/** The clauses of the outermost level, and whether an OR joins any of them. */
function clauses(query: string): { spans: Span[]; or: boolean } {
  const spans: Span[] = [];
  let open: Span | undefined;
  let depth = 0;
  let or = false;
  for (const token of lex(query)) {
    const bracket = token.kind === 'paren' ? (query[token.start] === '(' ? 1 : -1) : 0;
    if (depth === 0 && token.kind === 'space') {
      open = undefined;
      continue;
    }
    depth = Math.max(0, depth + bracket);
    if (open) open.end = token.end;
    else {
      open = { start: token.start, end: token.end };
      spans.push(open);
    }
    if (depth === 0 && query.slice(token.start, token.end) === 'OR') or = true;
  }
  return { spans, or };
}

/** Adds the filter to the query; one that is there already stays single, its opposite is replaced. */
export function addFilter(query: string, filter: Filter): string {
  const wanted = clause(filter);
  const opposite = clause({ ...filter, out: !filter.out });
  const trimmed = query.trim();
  const { spans, or } = clauses(trimmed);
  for (const span of spans) {
    const text = trimmed.slice(span.start, span.end);
    if (text === wanted && !or) return trimmed;
    if (text === opposite && !or) return trimmed.slice(0, span.start) + wanted + trimmed.slice(span.end);
  }
  if (trimmed === '') return wanted;
  return or ? `(${trimmed}) ${wanted}` : `${trimmed} ${wanted}`;
}

/** The query without the clause, for the "remove" of an empty result. */
export function removeClause(query: string, index: number): string {
  const span = clauses(query).spans[index];
  if (!span) return query;
  return `${query.slice(0, span.start)} ${query.slice(span.end)}`.replace(/\s+/g, ' ').trim();
}

export function clauseTexts(query: string): string[] {
  const { spans, or } = clauses(query);
  return or ? [] : spans.map((span) => query.slice(span.start, span.end));
}

export interface Completion {
  kind: 'field' | 'value';
  /** What is replaced, in UTF-16 offsets. */
  start: number;
  end: number;
  prefix: string;
  field?: string;
}

/** What may be completed at the caret; null inside a phrase without field, a regex or a range. */
export function completionAt(query: string, caret: number): Completion | null {
  const tokens = lex(query);
  const before = tokens.findLast((token) => token.start < caret);
  const touching = before && caret <= before.end && before.kind !== 'space' ? before : undefined;
  if (!touching || touching.kind === 'not' || touching.kind === 'paren') {
    const group = groupField(query, tokens, caret);
    if (touching?.kind === 'paren' && query[touching.start] === ')') return null;
    if (group !== undefined) return { kind: 'value', start: caret, end: caret, prefix: '', field: group };
    return { kind: 'field', start: caret, end: caret, prefix: '' };
  }
  const text = query.slice(touching.start, touching.end);
  switch (touching.kind) {
    case 'field':
      if (caret === touching.end) {
        const field = text.slice(0, -1);
        return { kind: 'value', start: caret, end: caret, prefix: '', field: unescape(field) };
      }
      return {
        kind: 'field',
        start: touching.start,
        end: touching.end,
        prefix: query.slice(touching.start, caret),
      };
    case 'word':
      return {
        kind: 'field',
        start: touching.start,
        end: touching.end,
        prefix: query.slice(touching.start, caret),
      };
    case 'value':
    case 'phrase':
      if (touching.field === undefined) return null;
      return {
        kind: 'value',
        start: touching.start,
        end: touching.end,
        prefix: unescape(query.slice(touching.start, caret).replace(/^"|"$/g, '')),
        field: unescape(touching.field),
      };
    default:
      return null;
  }
}

function groupField(query: string, tokens: Token[], caret: number): string | undefined {
  const groups: (string | undefined)[] = [];
  let field: string | undefined;
  for (const token of tokens) {
    if (token.start >= caret) break;
    const text = query.slice(token.start, token.end);
    if (token.kind === 'paren' && text === '(') groups.push(field ?? groups[groups.length - 1]);
    else if (token.kind === 'paren') groups.pop();
    field = token.kind === 'field' ? unescape(text.slice(0, -1)) : undefined;
  }
  return groups[groups.length - 1];
}

const unescape = (text: string) => text.replace(/\\(.)/g, '$1');

/** The server counts bytes of UTF-8, the page UTF-16 units. */
export function utf16Offset(text: string, byte: number): number {
  let bytes = 0;
  let at = 0;
  for (const char of text) {
    if (bytes >= byte) break;
    const code = char.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    at += char.length;
  }
  return at;
}

export interface Mark {
  /** UTF-16 offsets; an empty one marks the place where something is missing. */
  start: number;
  end: number;
}

export interface Piece {
  text: string;
  kind: TokenKind;
  bad: boolean;
}

/** The query in pieces for the coloured line, cut where the marked error begins and ends. */
export function paint(query: string, mark?: Mark): Piece[] {
  const pieces: Piece[] = [];
  const end = mark && Math.max(mark.end, mark.start + 1);
  for (const token of lex(query)) {
    const cuts =
      mark && end !== undefined ? [mark.start, end].filter((c) => c > token.start && c < token.end) : [];
    let from = token.start;
    for (const to of [...cuts, token.end]) {
      const bad = mark !== undefined && end !== undefined && from >= mark.start && to <= end;
      pieces.push({ text: query.slice(from, to), kind: token.kind, bad });
      from = to;
    }
  }
  if (mark && mark.start >= query.length) pieces.push({ text: ' ', kind: 'space', bad: true });
  return pieces;
}

/** The server records every search as an event, and these would be the newest of all, and match what they looked for. */
const NO_SEARCHES = '-event_name:search.*';

/** True when the query asks for the record of searches itself. */
export function asksForSearches(query: string): boolean {
  return lex(query).some(({ field, start, end }) => {
    const value = query.slice(start, end).replace(/^["/^]+/, '');
    return (
      (field === 'event_name' && value.startsWith('search')) ||
      (field === 'event_source' && value.startsWith('attestry'))
    );
  });
}

/** The query that leaves the record of searches out. One that cannot be read stays as it is, for the server to say so. */
export function withoutSearches(query: string): string {
  const text = query.trim();
  if (text === '') return NO_SEARCHES;
  let depth = 0;
  for (const { kind, start, end } of lex(text)) {
    const piece = text.slice(start, end);
    if (kind === 'paren') depth += piece === '(' ? 1 : -1;
    const open = (kind === 'phrase' || kind === 'regex') && (piece.length < 2 || piece.at(-1) !== piece[0]);
    if (depth < 0 || open) return text;
  }
  if (depth > 0 || text.endsWith('\\')) return text;
  return `(${text}) ${NO_SEARCHES}`;
}
