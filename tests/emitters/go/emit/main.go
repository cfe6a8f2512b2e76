// The story of README.md, sent by the OpenTelemetry SDK for Go.
//
//	emit PROTOCOL COMPRESSION ENDPOINT FUNCTION START_MILLIS
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type exporters struct {
	traces  *otlptrace.Exporter
	logs    sdklog.Exporter
	metrics sdkmetric.Exporter
}

func overGRPC(ctx context.Context, endpoint, compression string) (made exporters, err error) {
	traceOptions := []otlptracegrpc.Option{otlptracegrpc.WithEndpointURL(endpoint)}
	logOptions := []otlploggrpc.Option{otlploggrpc.WithEndpointURL(endpoint)}
	metricOptions := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpointURL(endpoint)}
	if compression == "gzip" {
		traceOptions = append(traceOptions, otlptracegrpc.WithCompressor("gzip"))
		logOptions = append(logOptions, otlploggrpc.WithCompressor("gzip"))
		metricOptions = append(metricOptions, otlpmetricgrpc.WithCompressor("gzip"))
	}
	traces, err := otlptracegrpc.New(ctx, traceOptions...)
	logs, err2 := otlploggrpc.New(ctx, logOptions...)
	metrics, err3 := otlpmetricgrpc.New(ctx, metricOptions...)
	return exporters{traces, logs, metrics}, errors.Join(err, err2, err3)
}

func overHTTP(ctx context.Context, endpoint, compression string) (made exporters, err error) {
	traceOptions := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(endpoint + "/v1/traces")}
	logOptions := []otlploghttp.Option{otlploghttp.WithEndpointURL(endpoint + "/v1/logs")}
	metricOptions := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpointURL(endpoint + "/v1/metrics")}
	if compression == "gzip" {
		traceOptions = append(traceOptions, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		logOptions = append(logOptions, otlploghttp.WithCompression(otlploghttp.GzipCompression))
		metricOptions = append(metricOptions, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	}
	traces, err := otlptracehttp.New(ctx, traceOptions...)
	logs, err2 := otlploghttp.New(ctx, logOptions...)
	metrics, err3 := otlpmetrichttp.New(ctx, metricOptions...)
	return exporters{traces, logs, metrics}, errors.Join(err, err2, err3)
}

type story struct {
	name  string
	start time.Time
}

func (s story) invoked(tracer trace.Tracer, number int, after, duration time.Duration, failure error, attributes ...attribute.KeyValue) {
	at := s.start.Add(after)
	attributes = append(attributes,
		attribute.String("faas.invocation_id", fmt.Sprintf("%s-%d", s.name, number)), attribute.String("faas.trigger", "http"))
	_, span := tracer.Start(context.Background(), "handler", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithTimestamp(at), trace.WithAttributes(attributes...))
	if failure != nil {
		span.RecordError(failure, trace.WithTimestamp(at.Add(time.Millisecond)), trace.WithStackTrace(true))
		span.SetStatus(codes.Error, failure.Error())
	}
	span.End(trace.WithTimestamp(at.Add(duration)))
}

func (s story) event(logger otellog.Logger, name string, after time.Duration, attributes ...attribute.KeyValue) {
	var record otellog.Record
	record.SetEventName(name)
	record.SetTimestamp(s.start.Add(after))
	record.SetSeverity(otellog.SeverityInfo)
	record.AddAttributes(attributes...)
	logger.Emit(context.Background(), record)
}

func (s story) send(ctx context.Context, made exporters) error {
	about, err := resource.Merge(resource.Default(), resource.NewSchemaless(
		attribute.String("service.name", s.name), attribute.String("faas.name", s.name),
		attribute.String("faas.version", "1.2.3"), attribute.String("cloud.region", "eu-west-1")))
	if err != nil {
		return err
	}
	traces := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(made.traces))
	logs := sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(sdklog.NewBatchProcessor(made.logs)))
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithResource(about),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(made.metrics, sdkmetric.WithInterval(time.Hour))))

	tracer := traces.Tracer("emit")
	s.invoked(tracer, 1, 0, 250*time.Millisecond, nil, attribute.Bool("faas.coldstart", true),
		attribute.Int("faas.mem_usage", 64<<20), attribute.String("client.address", "203.0.113.7"))
	s.invoked(tracer, 2, time.Second, 125500*time.Microsecond, errors.New("card declined"), attribute.Bool("faas.coldstart", false))
	logger := logs.Logger("emit")
	s.event(logger, "faas.rate_limit", 2*time.Second, attribute.String("rate_limit.type", "per_ip"),
		attribute.Int("rate_limit.limit", 100), attribute.String("client.address", "203.0.113.7"))
	s.event(logger, "faas.deployment", 3*time.Second, attribute.String("deployment.id", s.name+"-d1"),
		attribute.String("deployment.previous_version", "1.2.2"), attribute.String("deployment.deployed_by", "ci"),
		attribute.Int("deployment.code_size_bytes", 12345), attribute.Int("deployment.source_map_size_bytes", 678),
		attribute.String("deployment.status", "succeeded"))
	jobs, err := metrics.Meter("emit").Int64Counter("emitter.jobs")
	if err != nil {
		return err
	}
	jobs.Add(ctx, 3, metric.WithAttributes(attribute.String("function", s.name)))
	return errors.Join(traces.Shutdown(ctx), logs.Shutdown(ctx), metrics.Shutdown(ctx))
}

func main() {
	protocol, compression, endpoint, name := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	millis, err := strconv.ParseInt(os.Args[5], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connect := overHTTP
	if protocol == "grpc" {
		connect = overGRPC
	}
	made, err := connect(ctx, endpoint, compression)
	if err != nil {
		log.Fatal(err)
	}
	if err := (story{name, time.UnixMilli(millis)}).send(ctx, made); err != nil {
		log.Fatal(err)
	}
}
