// Instruments of every kind, sent by the OpenTelemetry SDK for Go: the story of tests/python/metrics.py.
//
//	meter TEMPORALITY ENDPOINT NAME
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

func send(ctx context.Context, temporality metricdata.Temporality, endpoint, name string) error {
	selector := func(sdkmetric.InstrumentKind) metricdata.Temporality { return temporality }
	exporter, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(endpoint), otlpmetricgrpc.WithTemporalitySelector(selector))
	if err != nil {
		return err
	}
	about := resource.NewSchemaless(attribute.String("service.name", name), attribute.String("service.instance.id", "1"),
		attribute.String("deployment.environment.name", "test"))
	exponential := sdkmetric.NewView(sdkmetric.Instrument{Name: "sdk.size"},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})
	reader := sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithInterval(time.Hour))
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(reader), sdkmetric.WithView(exponential))
	meter := provider.Meter("meter", metric.WithInstrumentationVersion("1.0"))
	requests, err1 := meter.Int64Counter("sdk.requests", metric.WithUnit("{request}"), metric.WithDescription("Requests by route"))
	active, err2 := meter.Int64UpDownCounter("sdk.active")
	latency, err3 := meter.Float64Histogram("sdk.latency", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.1, 0.5, 1))
	size, err4 := meter.Int64Histogram("sdk.size", metric.WithUnit("By"))
	level, err5 := meter.Float64Gauge("sdk.level")
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	a, b := metric.WithAttributes(attribute.String("http.route", "/a")), metric.WithAttributes(attribute.String("http.route", "/b"))

	requests.Add(ctx, 3, a)
	requests.Add(ctx, 4, a)
	requests.Add(ctx, 1, b)
	active.Add(ctx, 5)
	latency.Record(ctx, 0.05)
	latency.Record(ctx, 0.3)
	for bytes := int64(1); bytes <= 50; bytes++ {
		size.Record(ctx, bytes)
	}
	level.Record(ctx, 1)
	if err := provider.ForceFlush(ctx); err != nil {
		return err
	}

	requests.Add(ctx, 5, a)
	active.Add(ctx, -2)
	latency.Record(ctx, 0.3)
	latency.Record(ctx, 7)
	for bytes := int64(51); bytes <= 100; bytes++ {
		size.Record(ctx, bytes)
	}
	level.Record(ctx, 0.25)
	return errors.Join(provider.ForceFlush(ctx), provider.Shutdown(ctx))
}

func main() {
	temporality := metricdata.CumulativeTemporality
	if os.Args[1] == "delta" {
		temporality = metricdata.DeltaTemporality
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := send(ctx, temporality, os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}
