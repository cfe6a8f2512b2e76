/**
 * A sink for what happens in a function: invocations, errors, rate limits and deployments, sent to floe as OTLP over HTTP in JSON.
 *
 * `record…` only remembers; `flush` sends, in one request for spans and one for logs. Hand it to `ctx.waitUntil`, so that no visitor waits.
 * No dependencies; needs `fetch` and `crypto`, as Workers, Node, Deno and browsers have them.
 */

/** Unix time in milliseconds, with fractions down to a microsecond. */
export type Millis = number;

export interface Invocation {
  functionId: string;
  invocationId: string;
  startedAt: Millis;
  durationMs: number;
  success: boolean;
  errorType?: string;
  errorMessage?: string;
  stackTrace?: string;
  coldStart?: boolean;
  memoryUsedBytes?: number;
  clientIp?: string;
  region?: string;
  colo?: string;
  language?: string;
  version?: string;
}

export interface RateLimit {
  functionId: string;
  occurredAt: Millis;
  limitType: string;
  limitValue?: number;
  clientIp?: string;
  region?: string;
  colo?: string;
}

export interface Deployment {
  deploymentId: string;
  functionId: string;
  version: string;
  deployedAt: Millis;
  previousVersion?: string;
  deployedBy?: string;
  codeSizeBytes?: number;
  sourceMapSizeBytes?: number;
  status?: "success" | "failed" | "rolled_back";
  rollbackReason?: string;
}

export interface FloeOptions {
  /** Where floe, or the proxy in front of it, takes OTLP over HTTP: `https://host:port`, without a path. */
  endpoint: string;
  /** Sent as `Authorization: Bearer …`. */
  token?: string;
  /** How often a request is tried in all. Default 4. */
  attempts?: number;
  /** The longest wait before a next try, whatever Retry-After says. Default 10,000 ms: a Worker lives 30 s after its answer. */
  maxDelayMs?: number;
  /** How many records are held; what comes on top is dropped and counted. Default 1000. */
  capacity?: number;
}

type Value = { stringValue: string } | { boolValue: boolean } | { intValue: string };
type Attribute = { key: string; value: Value };
type Facts = Record<string, string | number | boolean | undefined>;

const SERVER = 2;
const OK = 1;
const ERROR = 2;
const INFO = 9;
const RETRIED = new Set([429, 502, 503, 504]);

export class FloeSink {
  /** Records that found no room. */
  dropped = 0;
  #spans: object[] = [];
  #logs: object[] = [];
  readonly #options: Required<Omit<FloeOptions, "token">> & { token?: string };

  constructor(options: FloeOptions) {
    this.#options = { attempts: 4, maxDelayMs: 10_000, capacity: 1000, ...options };
  }

  /** A call of a function; one that failed is a row of `errors` too. */
  record(call: Invocation): void {
    const span = {
      traceId: hex(16),
      spanId: hex(8),
      name: call.functionId,
      kind: SERVER,
      startTimeUnixNano: nanos(call.startedAt),
      endTimeUnixNano: nanos(call.startedAt, call.durationMs),
      attributes: attributes({
        "faas.name": call.functionId,
        "faas.invocation_id": call.invocationId,
        "faas.version": call.version,
        "faas.coldstart": call.coldStart,
        "faas.mem_usage": call.memoryUsedBytes,
        "error.type": call.success ? undefined : call.errorType,
        "client.address": call.clientIp,
        "cloud.region": call.region,
        "cloudflare.colo": call.colo,
        "telemetry.sdk.language": call.language ?? "javascript",
      }),
      status: call.success ? { code: OK } : { code: ERROR, message: call.errorMessage },
      events: call.success ? [] : [{
        name: "exception",
        timeUnixNano: nanos(call.startedAt, call.durationMs),
        attributes: attributes({
          "exception.type": call.errorType,
          "exception.message": call.errorMessage,
          "exception.stacktrace": call.stackTrace,
        }),
      }],
    };
    this.#hold(this.#spans, span);
  }

  /** A request that a limit turned away. */
  recordRateLimit(hit: RateLimit): void {
    this.#log("faas.rate_limit", hit.occurredAt, {
      "faas.name": hit.functionId,
      "rate_limit.type": hit.limitType,
      "rate_limit.limit": hit.limitValue,
      "client.address": hit.clientIp,
      "cloud.region": hit.region,
      "cloudflare.colo": hit.colo,
    });
  }

  /** A version that went live, or did not. */
  recordDeployment(deployment: Deployment): void {
    this.#log("faas.deployment", deployment.deployedAt, {
      "faas.name": deployment.functionId,
      "faas.version": deployment.version,
      "deployment.id": deployment.deploymentId,
      "deployment.previous_version": deployment.previousVersion,
      "deployment.deployed_by": deployment.deployedBy,
      "deployment.code_size_bytes": deployment.codeSizeBytes,
      "deployment.source_map_size_bytes": deployment.sourceMapSizeBytes,
      "deployment.status": deployment.status ?? "success",
      "deployment.rollback_reason": deployment.rollbackReason,
    });
  }

  /** Sends what is held. Rejects if floe did not take it; those records are gone, as a Worker has no place to keep them. */
  async flush(): Promise<void> {
    const [spans, logRecords] = [this.#spans, this.#logs];
    this.#spans = [];
    this.#logs = [];
    await Promise.all([
      spans.length > 0 && this.#send("traces", { resourceSpans: [{ scopeSpans: [{ spans }] }] }),
      logRecords.length > 0 && this.#send("logs", { resourceLogs: [{ scopeLogs: [{ logRecords }] }] }),
    ]);
  }

  #log(eventName: string, at: Millis, facts: Facts): void {
    this.#hold(this.#logs, { timeUnixNano: nanos(at), severityNumber: INFO, eventName, attributes: attributes(facts) });
  }

  #hold(records: object[], record: object): void {
    if (this.#spans.length + this.#logs.length >= this.#options.capacity) {
      this.dropped += 1;
    } else {
      records.push(record);
    }
  }

  /** The same bytes each time: floe knows a request again and adds nothing. */
  async #send(signal: "traces" | "logs", request: object): Promise<void> {
    const { endpoint, token, attempts, maxDelayMs } = this.#options;
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    if (token !== undefined) {
      headers["Authorization"] = `Bearer ${token}`;
    }
    const body = JSON.stringify(request);
    for (let attempt = 1; ; attempt += 1) {
      let said: string;
      let delay = Math.min(250 * 2 ** attempt, maxDelayMs) * (0.5 + Math.random() / 2);
      try {
        const reply = await fetch(`${endpoint}/v1/${signal}`, { method: "POST", headers, body });
        const text = await reply.text();
        if (reply.ok) {
          return checkPartial(signal, text);
        }
        said = `${reply.status} ${text}`;
        if (!RETRIED.has(reply.status)) {
          attempt = attempts;
        }
        const after = Number(reply.headers.get("Retry-After") ?? Number.NaN);
        if (after >= 0) {
          delay = Math.min(after * 1000, maxDelayMs);
        }
      } catch (error) {
        if (error instanceof Rejected) {
          throw error;
        }
        said = String(error);
      }
      if (attempt >= attempts) {
        throw new Error(`floe did not take ${signal}: ${said}`);
      }
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }
}

/** Taken in part: what was rejected would be rejected again. */
class Rejected extends Error {}

function checkPartial(signal: string, text: string): void {
  const partial = (text === "" ? {} : JSON.parse(text)).partialSuccess;
  const rejected = Number(partial?.rejectedSpans ?? partial?.rejectedLogRecords ?? 0);
  if (rejected > 0) {
    throw new Rejected(`floe rejected ${rejected} of ${signal}: ${partial.errorMessage}`);
  }
}

/** What is undefined is left out. */
function attributes(facts: Facts): Attribute[] {
  const made: Attribute[] = [];
  for (const [key, fact] of Object.entries(facts)) {
    if (typeof fact === "string") {
      made.push({ key, value: { stringValue: fact } });
    } else if (typeof fact === "boolean") {
      made.push({ key, value: { boolValue: fact } });
    } else if (fact !== undefined) {
      made.push({ key, value: { intValue: String(Math.round(fact)) } });
    }
  }
  return made;
}

/** Nanoseconds as JSON of OTLP has them: a string, as a number has not the digits. */
function nanos(at: Millis, later = 0): string {
  return `${Math.round(at * 1000) + Math.round(later * 1000)}000`;
}

function hex(bytes: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
