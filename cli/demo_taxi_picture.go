package cli

import (
	"fmt"
	"image"
	"image/color"
	imagedraw "image/draw"
	"image/png"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// heatStops are the colours of the picture, from one passenger to the most.
var heatStops = []color.RGBA{{0x2b, 0x1b, 0x5a, 0xff}, {0x75, 0x1f, 0x78, 0xff}, {0xbf, 0x37, 0x5c, 0xff}, {0xee, 0x6a, 0x35, 0xff}, {0xfc, 0xb0, 0x32, 0xff}, {0xfc, 0xf7, 0xa6, 0xff}}

var paper = color.RGBA{0x0a, 0x0a, 0x12, 0xff}

// heatOf is the colour at a place between 0 and 1.
func heatOf(at float64) color.RGBA {
	at = min(max(at, 0), 1) * float64(len(heatStops)-1)
	i := min(int(at), len(heatStops)-2)
	a, b, part := heatStops[i], heatStops[i+1], at-float64(i)
	mix := func(x, y uint8) uint8 { return uint8(float64(x) + (float64(y)-float64(x))*part + 0.5) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 0xff}
}

// The part of the grid that is in the picture, in cells, and how many points a cell has.
const (
	pictureLeft, pictureRight  = 8, 228
	pictureTop, pictureBottom  = 92, 328
	pictureCellX, pictureCellY = 3, 4
)

// picture writes all passengers that have arrived by cell as a PNG.
func (c *city) picture(w io.Writer, what string) error {
	f, _ := c.figures()
	img, most := c.image()
	p := plot.New()
	p.BackgroundColor = paper
	p.Title.Text = fmt.Sprintf("Taxi passengers arriving in New York, %s to %s UTC", clockText(f.First, "2006-01-02 15:04"), clockText(f.Clock, "15:04"))
	p.Title.Padding = 3 * vg.Millimeter
	p.X.Label.Text = fmt.Sprintf("longitude (%s: %s passengers, %s arrivals, %s cells)", what, number(f.Passengers), number(f.Arrivals), number(f.Cells))
	p.Y.Label.Text = "latitude"
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Tick.Color, a.Tick.Label.Color, a.Label.TextStyle.Color = color.Gray{0x80}, color.Gray{0x80}, color.Gray{0xa0}, color.Gray{0xc0}
		a.Padding, a.Label.Padding = 0, 2*vg.Millimeter
	}
	p.Title.TextStyle.Color = color.White
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(degrees(-74, -73.75)), plot.ConstantTicks(degrees(40.6, 40.85))
	lon := func(x int) float64 { return cityWest + float64(x)*cellLon }
	lat := func(y int) float64 { return cityNorth - float64(y)*cellLat }
	p.Add(plotter.NewImage(img, lon(pictureLeft), lat(pictureBottom), lon(pictureRight), lat(pictureTop)))
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = lon(pictureLeft), lon(pictureRight), lat(pictureBottom), lat(pictureTop)
	p.Legend.Top, p.Legend.TextStyle.Color, p.Legend.Padding = true, color.Gray{0xc0}, vg.Millimeter
	p.Legend.XOffs, p.Legend.YOffs = -3*vg.Millimeter, -3*vg.Millimeter
	p.Legend.Add("passengers")
	for n := int64(1); n <= max(most, 1); n *= 10 {
		p.Legend.Add(number(n), swatch{heatOf(float64(grade(n, most, 1000)) / 999)})
	}
	canvas := vgimg.NewWith(vgimg.UseWH(18*vg.Centimeter, 25.5*vg.Centimeter), vgimg.UseDPI(96), vgimg.UseBackgroundColor(paper))
	p.Draw(draw.Crop(draw.New(canvas), 3*vg.Millimeter, -8*vg.Millimeter, 3*vg.Millimeter, -3*vg.Millimeter))
	return encode(w, canvas.Image())
}

// degrees are ticks, five hundredths of a degree apart.
func degrees(from, to float64) (ticks []plot.Tick) {
	for at := from; at < to+0.01; at += 0.05 {
		ticks = append(ticks, plot.Tick{Value: at, Label: fmt.Sprintf("%.2f", at)})
	}
	return ticks
}

// encode writes a PNG with the colours of heat and the greys of text only, which makes it small.
func encode(w io.Writer, from image.Image) error {
	palette := color.Palette{paper}
	for i := range 48 {
		palette = append(palette, heatOf(float64(i)/47))
	}
	for grey := 0x10; grey <= 0xff; grey += 0x10 {
		palette = append(palette, color.Gray{uint8(grey)})
	}
	to := image.NewPaletted(from.Bounds(), append(palette, color.White))
	imagedraw.Draw(to, to.Rect, from, from.Bounds().Min, imagedraw.Src)
	return (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(w, to)
}

// image draws the cells, and returns the most passengers of one.
func (c *city) image() (img *image.RGBA, most int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.totals {
		most = max(most, n)
	}
	img = image.NewRGBA(image.Rect(0, 0, (pictureRight-pictureLeft)*pictureCellX, (pictureBottom-pictureTop)*pictureCellY))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			n := c.totals[(pictureTop+y/pictureCellY)*cityColumns+pictureLeft+x/pictureCellX]
			if n == 0 {
				img.SetRGBA(x, y, paper)
			} else {
				img.SetRGBA(x, y, heatOf(float64(grade(n, most, 1000))/999))
			}
		}
	}
	return img, most
}

// swatch is a patch of colour in the legend.
type swatch struct{ color color.RGBA }

// Thumbnail implements plot.Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.color, []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Min.X, Y: c.Max.Y}})
}
