package local

import (
	"bytes"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// Logging says which of a command's streams are shown while it runs. All are kept as
// outputs, whatever is shown.
type Logging string

// The values of Logging.
const (
	LogStdout Logging = "stdout"
	LogStderr Logging = "stderr"
	LogBoth   Logging = "stdoutAndStderr"
	LogNone   Logging = "none"
)

// Values lists the enumeration for the schema. Nothing checks it: another value shows neither.
func (Logging) Values() []infer.EnumValue[Logging] {
	return []infer.EnumValue[Logging]{
		{Name: "Stdout", Value: LogStdout, Description: "Show stdout only"},
		{Name: "Stderr", Value: LogStderr, Description: "Show stderr only"},
		{Name: "StdoutAndStderr", Value: LogBoth, Description: "Show both"},
		{Name: "None", Value: LogNone, Description: "Show neither"},
	}
}

func (l *Logging) shows(stream Logging) bool {
	return l == nil || *l == LogBoth || *l == stream
}

// maxLine is where a line is cut, so that output without line ends can't fill the memory
// twice over nor exceed what one message to the engine may hold.
const maxLine = 64 << 10

// lineWriter passes each line on as soon as it is complete. One belongs to one stream, so
// lines of the two streams are never mixed within a line.
type lineWriter struct {
	show    func(line string)
	pending []byte
}

func (w *lineWriter) Write(data []byte) (int, error) {
	w.pending = append(w.pending, data...)
	for {
		end := bytes.IndexByte(w.pending, '\n')
		switch {
		case end >= 0:
			w.show(string(bytes.TrimSuffix(w.pending[:end], []byte("\r"))))
			w.pending = w.pending[end+1:]
		case len(w.pending) >= maxLine:
			w.show(string(w.pending[:maxLine]))
			w.pending = w.pending[maxLine:]
		default:
			return len(data), nil
		}
	}
}

// flush passes on what came after the last line end.
func (w *lineWriter) flush() {
	if len(w.pending) > 0 {
		w.show(string(w.pending))
		w.pending = nil
	}
}
