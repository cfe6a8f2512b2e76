// What Prometheus's own parsers make of an exposition.
//
//	read CONTENT-TYPE <exposition     a line of JSON for every sample, exemplars and start times with it
//	read --escape SCHEME <names       every line as `escaping=SCHEME` has it
//
// Exit status 1 if a parser finds anything wrong, or a sample that a scrape would refuse.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Sample is one series, or one native histogram.
type Sample struct {
	Labels map[string]string `json:"labels"`
	Type   string            `json:"type"`
	Unit   string            `json:"unit"`
	Help   string            `json:"help"`
	Value  string            `json:"value,omitempty"`
	// In the form of PromQL.
	Histogram string `json:"histogram,omitempty"`
	// Milliseconds since 1970.
	Start     int64      `json:"start,omitempty"`
	Timestamp *int64     `json:"timestamp,omitempty"`
	Exemplars []Exemplar `json:"exemplars,omitempty"`
}

// Exemplar is one of a sample.
type Exemplar struct {
	Labels    map[string]string `json:"labels"`
	Value     string            `json:"value"`
	Timestamp int64             `json:"timestamp,omitempty"`
}

func main() {
	log.SetFlags(0)
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "--escape":
		err = escape(os.Args[2])
	case len(os.Args) == 2:
		err = read(os.Args[1])
	default:
		err = errors.New("usage: read CONTENT-TYPE | read --escape SCHEME")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func escape(name string) error {
	scheme, err := model.ToEscapingScheme(name)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(model.EscapeName(lines.Text(), scheme))
	}
	return lines.Err()
}

func read(contentType string) error {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	parser, err := textparse.New(body, contentType, nil, textparse.ParserOptions{
		KeepClassicOnClassicAndNativeHistograms: true,
		OpenMetricsSkipSTSeries:                 true,
	})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	var kind, unit, help string
	seen := map[string]bool{}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil {
			return err
		}
		sample := Sample{Type: kind, Unit: unit, Help: help}
		switch entry {
		case textparse.EntryHelp:
			_, text := parser.Help()
			help, kind, unit = string(text), "", ""
			continue
		case textparse.EntryType:
			_, found := parser.Type()
			kind = string(found)
			continue
		case textparse.EntryUnit:
			_, text := parser.Unit()
			unit = string(text)
			continue
		case textparse.EntrySeries:
			var value float64
			_, sample.Timestamp, value = parser.Series()
			sample.Value = strconv.FormatFloat(value, 'g', -1, 64)
		case textparse.EntryHistogram:
			var whole *histogram.Histogram
			var parts *histogram.FloatHistogram
			_, sample.Timestamp, whole, parts = parser.Histogram()
			if whole != nil {
				if err := whole.Validate(); err != nil {
					return err
				}
				parts = whole.ToFloat(nil)
			}
			sample.Histogram = parts.TestExpression()
		default:
			continue
		}
		var set labels.Labels
		parser.Labels(&set)
		if name, twice := set.HasDuplicateLabelNames(); twice {
			return fmt.Errorf("%s: the label %s stands twice", set, name)
		}
		scheme := model.LegacyValidation
		if strings.Contains(contentType, "escaping=allow-utf-8") {
			scheme = model.UTF8Validation
		}
		if !set.IsValid(scheme) {
			return fmt.Errorf("%s: a name that such a scraper does not know", set)
		}
		key := set.String() + strconv.FormatBool(sample.Histogram != "")
		if seen[key] {
			return fmt.Errorf("%s: stands twice", set)
		}
		seen[key] = true
		sample.Labels, sample.Start = set.Map(), parser.StartTimestamp()
		for {
			var found exemplar.Exemplar
			if !parser.Exemplar(&found) {
				break
			}
			value := strconv.FormatFloat(found.Value, 'g', -1, 64)
			sample.Exemplars = append(sample.Exemplars, Exemplar{found.Labels.Map(), value, found.Ts})
		}
		if err := encoder.Encode(sample); err != nil {
			return err
		}
	}
}
