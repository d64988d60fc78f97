package bench

import (
	"fmt"
	"image/color"

	"github.com/HdrHistogram/hdrhistogram-go"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"os"
)

// plotSweep draws the sweep: for the common rate and for the trickle the quantiles of each setting, on a logarithmic axis.
func plotSweep(points []point, rate float64, path string) error {
	titles := []string{fmt.Sprintf("at %.1f million rows a second", rate/1e6), fmt.Sprintf("at %d thousand rows a second", trickle*flowWorkers/1000)}
	var plots [2]*plot.Plot
	for i := range plots {
		p, err := sweepPanel(points, i, titles[i])
		if err != nil {
			return err
		}
		plots[i] = p
	}
	img := vgimg.NewWith(vgimg.UseWH(25*vg.Centimeter, 11*vg.Centimeter), vgimg.UseDPI(144))
	canvas := draw.New(img)
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	tiles := draw.Tiles{Rows: 1, Cols: 2, PadX: 8 * vg.Millimeter, PadTop: 4 * vg.Millimeter, PadBottom: 3 * vg.Millimeter, PadLeft: 3 * vg.Millimeter, PadRight: 6 * vg.Millimeter}
	for i, p := range plots {
		p.Draw(tiles.At(canvas, i, 0))
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

var quantiles = []struct {
	q     float64
	name  string
	color color.RGBA
	shape draw.GlyphDrawer
}{
	{50, "p50", color.RGBA{0x1b, 0x6c, 0xa8, 0xff}, draw.CircleGlyph{}},
	{99, "p99", color.RGBA{0xd9, 0x7b, 0x0c, 0xff}, draw.BoxGlyph{}},
	{99.9, "p99.9", color.RGBA{0xb0, 0x2a, 0x37, 0xff}, draw.PyramidGlyph{}},
}

// plotOrder is the settings from the shortest wait to the longest.
var plotOrder = []int{1, 2, 3, 4, 5, 0, 6}

func sweepPanel(points []point, at int, title string) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = 3 * vg.Millimeter
	p.X.Label.Text = "buffer-timeout"
	p.X.Label.Padding = 2 * vg.Millimeter
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.ConstantTicks(decades)
	p.Y.Min, p.Y.Max = 0.001, 10_000 // room for the legend
	p.Y.Label.Text = "latency, ms"
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color = color.Gray{0xe0}
	p.Add(grid)
	var names []string
	for _, i := range plotOrder {
		names = append(names, plotName(points[i].setting))
	}
	p.NominalX(names...)
	p.X.Tick.Label.Font.Size = vg.Points(9)
	p.X.Width = 0.5
	p.X.Min, p.X.Max = -0.5, float64(len(plotOrder))-0.5
	for _, q := range quantiles {
		xy := make(plotter.XYs, len(plotOrder))
		for x, i := range plotOrder {
			xy[x] = plotter.XY{X: float64(x), Y: quantile(points[i].at[at], q.q)}
		}
		line, err := plotter.NewLine(xy[:len(xy)-1]) // the last one is another switch
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = q.color, vg.Points(1.5)
		dots, err := plotter.NewScatter(xy)
		if err != nil {
			return nil, err
		}
		dots.Color, dots.Shape, dots.Radius = q.color, q.shape, vg.Points(3.5)
		p.Add(line, dots)
		p.Legend.Add(q.name, line, dots)
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = vg.Millimeter
	p.Legend.XOffs, p.Legend.YOffs = 2*vg.Millimeter, -2*vg.Millimeter
	for _, s := range []*font.Length{&p.X.Label.TextStyle.Font.Size, &p.Y.Label.TextStyle.Font.Size, &p.Legend.TextStyle.Font.Size} {
		*s = vg.Points(10)
	}
	return p, nil
}

func plotName(s setting) string {
	switch {
	case s.flushWhenIdle:
		return "10 ms,\nidle flush"
	case s.timeout < 0:
		return "-1"
	}
	return s.name
}

func quantile(h *hdrhistogram.Histogram, q float64) float64 {
	return float64(max(h.ValueAtQuantile(q), 1)) / 1000
}

var decades = []plot.Tick{
	{Value: 0.001, Label: "0.001"},
	{Value: 0.01, Label: "0.01"}, {Value: 0.1, Label: "0.1"}, {Value: 1, Label: "1"}, {Value: 10, Label: "10"}, {Value: 100, Label: "100"}, {Value: 1000, Label: "1000"},
}
