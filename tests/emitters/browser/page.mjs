/** What the page runs: two spans of the OpenTelemetry SDK for browsers, then word to its own server of how the export ended. */
import { SpanKind, diag, DiagLogLevel } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, WebTracerProvider } from "@opentelemetry/sdk-trace-web";

const { endpoint, name } = window.story;
const said = [];
const note = (text) => said.push(String(text));
diag.setLogger({ error: note, warn: note, info() {}, debug() {}, verbose() {} }, DiagLogLevel.WARN);

const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, timeoutMillis: 30_000 });
let code;
const send = exporter.export.bind(exporter);
exporter.export = (batch, done) => send(batch, (result) => {
  code = result.code;
  done(result);
});
const provider = new WebTracerProvider({
  resource: resourceFromAttributes({ "service.name": name, "faas.name": name, "telemetry.sdk.language": "webjs" }),
  spanProcessors: [new BatchSpanProcessor(exporter, { exportTimeoutMillis: 60_000 })],
});
for (const number of [1, 2]) {
  provider.getTracer("page").startSpan("load", {
    kind: SpanKind.SERVER, root: true, attributes: { "faas.invocation_id": `${name}-${number}`, "faas.trigger": "http" },
  }).end();
}
await provider.forceFlush().catch(note);
await fetch("/done", { method: "POST", body: JSON.stringify({ delivered: code === 0, said }) });
