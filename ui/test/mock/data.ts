/** A host's plausible history, the same on every run but for the clock it ends at. */

export interface Made {
  ledger: string;
  time: number;
  entry: string;
}

export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const next = random(20261121);
const pick = <T>(from: readonly T[]): T => from[Math.floor(next() ** 1.6 * from.length)] as T;
const int = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
const hex = (n: number) => Array.from({ length: n }, () => int(0, 15).toString(16)).join('');

const USERS = [
  'alice',
  'deploy',
  'root',
  'bob',
  'carol',
  'svc-backup',
  'svc-billing',
  'dora',
  'mallory',
  'erin.o’connor',
];
const HOSTS = ['web1', 'web2', 'db1', 'queue1', 'edge-fra-1'];
const PACKAGES = [
  'openssl',
  'libc6',
  'linux-image-amd64',
  'nginx',
  'postgresql-15',
  'curl',
  'sudo',
  'openssh-server',
];

export function makeEvents(count: number, now: number): Made[] {
  const span = 14 * 86_400_000;
  const times = Array.from({ length: count }, () => now - Math.floor(next() ** 1.7 * span)).sort(
    (a, b) => a - b,
  );
  return times.map((time) => makeEvent(time));
}

export function makeEvent(time: number): Made {
  const kind = pick(['api', 'login', 'logs', 'load', 'row', 'package', 'container', 'fs', 'gap'] as const);
  const user = pick(USERS);
  const host = pick(HOSTS);
  const request = next() < 0.7 ? `req-${hex(8)}` : undefined;
  const ip = next() < 0.8 ? `10.20.${int(0, 3)}.${int(2, 250)}` : `2001:db8::${hex(4)}`;
  switch (kind) {
    case 'api': {
      const verb = pick(['read', 'update', 'create', 'delete', 'export']);
      const status = pick([200, 200, 201, 204, 404, 403, 500, 502]);
      return entry('audit', time, {
        name: `invoice.${verb}`,
        user,
        resource: `invoice/${int(1000, 9999)}`,
        source: 'billing-api',
        ip,
        request,
        readOnly: verb === 'read',
        outcome: status < 400 ? 'success' : 'failure',
        severity: status >= 500 ? 3 : undefined,
        message: status >= 500 ? 'upstream connection reset before headers' : undefined,
        host,
        data: {
          method: verb === 'read' ? 'GET' : 'POST',
          path: `/v2/invoices/${int(1000, 9999)}`,
          status,
          duration_ms: int(2, 900),
          amount_minor: { token: next() < 0.1 ? '9007199254740993' : String(int(100, 9_000_000)) },
          tags: pick([['eu'], ['eu', 'vip'], []]),
          trace: { id: hex(16), sampled: next() < 0.3 },
        },
      });
    }
    case 'login': {
      const good = next() < 0.75;
      return entry('audit', time, {
        name: good ? 'login.success' : 'login.failure',
        user,
        resource: `host/${host}`,
        source: 'auth-log',
        ip,
        outcome: good ? 'success' : 'failure',
        severity: good ? 6 : 4,
        message: good
          ? `Accepted publickey for ${user} from ${ip} port ${int(20000, 60000)} ssh2`
          : `Failed password for ${user} from ${ip} port ${int(20000, 60000)} ssh2`,
        host,
        data: { method: good ? 'publickey' : 'password', port: int(20000, 60000), pid: int(300, 40000) },
      });
    }
    case 'logs':
      return entry('logs', time, {
        name: 'log.line',
        user: '-',
        resource: `container/${pick(['nginx', 'billing', 'worker'])}`,
        source: 'docker',
        severity: pick([6, 6, 6, 5, 4, 3]),
        message: pick([
          'GET /healthz 200 0.4ms',
          'worker picked job 8812 from queue mail',
          'slow query: 1204 ms select * from invoices where customer_id = $1 order by created_at desc limit 50',
          'connection reset by peer',
          'retrying in 2s (attempt 3)',
        ]),
        host,
        data: { stream: pick(['stdout', 'stderr']), container: hex(12) },
      });
    case 'load':
      return entry('audit', time, {
        name: 'host.load',
        user: '-',
        resource: `host/${host}`,
        source: 'host',
        readOnly: true,
        severity: 7,
        host,
        data: {
          load1: { token: (next() * 4).toFixed(2) },
          load5: { token: (next() * 3).toFixed(2) },
          memory_available_bytes: int(1e8, 8e9),
          uptime_s: int(1000, 9e6),
        },
      });
    case 'row':
      return next() < 0.05
        ? entry('audit', time, {
            name: 'violation.open',
            user: pick(['app_rw', 'root']),
            resource: 'billing.accounts',
            source: 'db1',
            outcome: 'failure',
            severity: 2,
            message: 'updated_at went backwards',
            host: 'db1',
            data: { table: 'accounts', key: { id: int(1, 900) }, rule: 'went_backwards' },
          })
        : entry('audit', time, {
            name: 'row.update',
            user: 'app_rw',
            resource: 'billing.accounts',
            source: 'db1',
            outcome: 'success',
            host: 'db1',
            data: {
              table: 'accounts',
              key: { id: int(1, 900) },
              changed: pick([['balance'], ['balance', 'updated_at'], ['email']]),
            },
          });
    case 'package':
      return entry('audit', time, {
        name: pick(['package.upgrade', 'package.install', 'package.remove']),
        user: 'root',
        resource: `package/${pick(PACKAGES)}`,
        source: 'dpkg',
        outcome: 'success',
        host,
        data: {
          package: pick(PACKAGES),
          from: '3.0.14-1~deb12u1',
          to: '3.0.15-1~deb12u1',
          architecture: 'amd64',
        },
      });
    case 'container':
      return entry('audit', time, {
        name: pick(['container.start', 'container.stop', 'container.die']),
        user: 'deploy',
        resource: `container/${pick(['nginx', 'billing', 'worker'])}`,
        source: 'docker',
        outcome: 'success',
        host,
        request,
        data: { image: 'registry.example/billing:2026.11.3', id: hex(12), inferred: false, env: null },
      });
    case 'fs':
      return entry('audit', time, {
        name: 'filesystem.usage',
        user: '-',
        resource: '/var/lib',
        source: 'host',
        readOnly: true,
        severity: 6,
        host,
        data: {
          used_bytes: int(1e9, 9e10),
          used_percent: { token: (next() * 100).toFixed(1) },
          mount: '/var/lib',
        },
      });
    case 'gap':
      return entry('audit', time, {
        name: 'gap.source',
        user: '-',
        resource: 'source/docker',
        source: 'attestry',
        severity: 4,
        message: 'docker: the event stream was away for 41 s; 2 changes inferred from the state',
        host,
        data: { seconds: 41, inferred: 2 },
      });
  }
}

interface Parts {
  name: string;
  user: string;
  resource?: string;
  source: string;
  ip?: string;
  request?: string;
  readOnly?: boolean;
  outcome?: string;
  severity?: number;
  message?: string;
  host?: string;
  data?: object;
}

let serial = 0;

function entry(ledger: string, time: number, p: Parts): Made {
  const id = `0199${(serial++).toString(16).padStart(8, '0')}-${hex(4)}-7${hex(3)}-8${hex(3)}-${hex(12)}`;
  const stamp = new Date(time).toISOString().replace('Z', `${String(int(0, 999999)).padStart(6, '0')}Z`);
  const members: [string, unknown][] = [
    ['v', 1],
    ['event_id', id],
    ['event_time', stamp],
    ['received_at', stamp],
    ['event_name', p.name],
    ['username', p.user],
    ['resource', p.resource],
    ['event_source', p.source],
    ['source_ip_address', p.ip ?? '-'],
    ['request_id', p.request],
    ['read_only', p.readOnly ?? false],
    ['outcome', p.outcome],
    ['severity', p.severity],
    ['message', p.message],
    ['host', p.host],
    ['event_data', p.data],
  ];
  const text = members
    .filter(([, v]) => v !== undefined)
    .map(([name, v]) => `${JSON.stringify(name)}:${write(v)}`);
  return { ledger, time, entry: `{${text.join(',')}}` };
}

/** JSON, but `{token}` stands for a number written in its own way. */
function write(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    if ('token' in value) return String(value.token);
    return `{${Object.entries(value)
      .map(([name, v]) => `${JSON.stringify(name)}:${write(v)}`)
      .join(',')}}`;
  }
  return JSON.stringify(value);
}
