/** The view as it stands in the address bar, so that every view can be sent as a link. */
import { ALERT_STATES, LEVELS, type AlertStates } from './alert-api';
import { isBound, type Range } from './time';
import { STATES, type States } from './watch-api';

export type PageName =
  | 'search'
  | 'coverage'
  | 'databases'
  | 'alerts'
  | 'reports'
  | 'agents'
  | 'flow'
  | 'ledgers'
  | 'settings'
  | 'setup';

export const TITLES: Record<PageName, string> = {
  search: 'Search',
  coverage: 'Coverage',
  databases: 'Databases',
  alerts: 'Alerts',
  reports: 'Reports',
  agents: 'Agents',
  flow: 'Flow',
  ledgers: 'Ledgers',
  settings: 'Settings',
  setup: 'Set up',
};

export interface Column {
  field: string;
  /** Pixels; 0 takes what is left over. */
  width: number;
}

export interface Address {
  page: PageName;
  q: string;
  range: Range;
  ledgers: string[];
  columns: Column[];
  /** The field the histogram is stacked by. */
  by: string;
  order: 'desc' | 'asc';
  /** The event that is open in the drawer: `ledger/index`. */
  event: string;
  live: boolean;
  /** The record of searches is shown, too. */
  searches: boolean;
  /** The cell of the coverage that is open: host, source and hour, as JSON. */
  cell: string;
  /** Of the coverage, only what has gaps. */
  gaps: boolean;
  /** Only violations of this watch; empty: of all. */
  watch: string;
  /** Only violations of this table. */
  table: string;
  state: States;
  /** The violation that is open in the drawer, by its fingerprint. */
  violation: string;
  alertState: AlertStates;
  /** Only alerts that are at least so bad; empty: all. */
  level: string;
  /** Only alerts of this rule. */
  rule: string;
  /** The alert that is open in the drawer. */
  alert: string;
  /** The rules instead of the alerts. */
  rules: boolean;
  /** The report that is shown, by its event. */
  report: string;
}

export const DEFAULT_COLUMNS: Column[] = [
  { field: 'event_name', width: 160 },
  { field: 'username', width: 120 },
  { field: 'resource', width: 170 },
  { field: 'message', width: 0 },
];

const WIDTH_MIN = 48;
const WIDTH_MAX = 2000;

export function readAddress(pathname: string, search: string, fallback: Range): Address {
  const name = pathname.split('/')[1] ?? '';
  const params = new URLSearchParams(search);
  const bound = (key: string) => {
    const text = params.get(key);
    return text === null || text === 'all' ? '' : isBound(text) ? text : null;
  };
  const [from, to] = [bound('from'), bound('to')];
  const given = params.has('from') || params.has('to');
  /** A parameter that means something on one page only. */
  const of = (page: PageName, key: string) => (name === page ? (params.get(key) ?? '') : '');
  const columns = params.getAll('col').map(readColumn);
  return {
    page: Object.hasOwn(TITLES, name) ? (name as PageName) : 'search',
    q: params.get('q') ?? '',
    range: given && from !== null && to !== null ? { from, to } : fallback,
    ledgers: (params.get('ledger') ?? '').split(',').filter((l) => l !== ''),
    columns: columns.length > 0 ? columns : DEFAULT_COLUMNS,
    by: params.get('by') ?? 'outcome',
    order: params.get('order') === 'asc' ? 'asc' : 'desc',
    event: /^[^/]+\/\d+$/.test(params.get('event') ?? '') ? (params.get('event') ?? '') : '',
    live: params.get('live') === '1',
    searches: params.get('searches') === '1',
    cell: params.get('cell') ?? '',
    gaps: params.get('gaps') === '1',
    watch: params.get('watch') ?? '',
    table: params.get('table') ?? '',
    state: STATES.find((state) => state === of('databases', 'state')) ?? 'pending',
    violation: params.get('violation') ?? '',
    alertState: ALERT_STATES.find((state) => state === of('alerts', 'state')) ?? 'active',
    level: LEVELS.find((level) => level === of('alerts', 'level')) ?? '',
    rule: of('alerts', 'rule'),
    alert: of('alerts', 'id'),
    rules: of('alerts', 'rules') === '1',
    report: params.get('report') ?? '',
  };
}

export function writeAddress(view: Address): string {
  const params = new URLSearchParams();
  if (view.page === 'databases') {
    for (const name of ['watch', 'table', 'violation'] as const)
      if (view[name] !== '') params.set(name, view[name]);
    if (view.state !== 'pending') params.set('state', view.state);
    return written(view.page, params);
  }
  if (view.page === 'alerts') {
    if (view.alertState !== 'active') params.set('state', view.alertState);
    for (const name of ['level', 'rule'] as const) if (view[name] !== '') params.set(name, view[name]);
    if (view.rules) params.set('rules', '1');
    if (view.alert !== '') params.set('id', view.alert);
    return written(view.page, params);
  }
  if (view.page === 'reports') {
    if (view.report !== '') params.set('report', view.report);
    return written(view.page, params);
  }
  if (view.page !== 'search' && view.page !== 'coverage') return `/${view.page}`;
  if (view.q !== '' && view.page === 'search') params.set('q', view.q);
  params.set('from', view.range.from === '' ? 'all' : view.range.from);
  if (view.range.to !== '') params.set('to', view.range.to);
  if (view.ledgers.length > 0) params.set('ledger', view.ledgers.join(','));
  if (view.page === 'coverage') {
    if (view.gaps) params.set('gaps', '1');
    if (view.cell !== '') params.set('cell', view.cell);
    return written(view.page, params);
  }
  if (writeColumns(view.columns) !== writeColumns(DEFAULT_COLUMNS)) {
    for (const column of view.columns) params.append('col', `${column.field}:${column.width}`);
  }
  if (view.by !== 'outcome') params.set('by', view.by);
  if (view.order === 'asc') params.set('order', 'asc');
  if (view.event !== '') params.set('event', view.event);
  if (view.live) params.set('live', '1');
  if (view.searches) params.set('searches', '1');
  return written(view.page, params);
}

/** Times and lists stay readable; none of these needs escaping in a query string. */
function written(page: PageName, params: URLSearchParams): string {
  const text = params.toString().replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%2F', '/');
  return text === '' ? `/${page}` : `/${page}?${text}`;
}

function readColumn(text: string): Column {
  const match = /^(.+):(\d{1,4})$/.exec(text);
  if (!match) return { field: text, width: 160 };
  const width = Number(match[2]);
  return { field: match[1] ?? '', width: width === 0 ? 0 : Math.min(WIDTH_MAX, Math.max(WIDTH_MIN, width)) };
}

const writeColumns = (columns: Column[]) => columns.map((c) => `${c.field}:${c.width}`).join();
