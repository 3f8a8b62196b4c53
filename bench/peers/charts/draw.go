package main

import (
	"fmt"
	"image/color"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of a drawing.
const (
	width     = 10 * vg.Inch
	rowHeight = vg.Inch / 3
	rest      = 1.6 * vg.Inch // title, scale and legend
)

// look tells servers apart by colour, and by shape for those who don't see the
// colours. Most of them are Okabe and Ito's.
type look struct {
	color color.RGBA
	shape draw.GlyphDrawer
}

var looks = []look{
	{color.RGBA{0, 114, 178, 255}, draw.CircleGlyph{}},
	{color.RGBA{213, 94, 0, 255}, draw.BoxGlyph{}},
	{color.RGBA{0, 158, 115, 255}, draw.PyramidGlyph{}},
	{color.RGBA{204, 121, 167, 255}, draw.RingGlyph{}},
	{color.RGBA{86, 180, 233, 255}, draw.SquareGlyph{}},
	{color.RGBA{230, 159, 0, 255}, draw.TriangleGlyph{}},
	{color.RGBA{90, 90, 90, 255}, draw.CrossGlyph{}},
	{color.RGBA{0, 0, 0, 255}, draw.PlusGlyph{}},
	{color.RGBA{140, 86, 75, 255}, draw.BoxGlyph{}},
	{color.RGBA{148, 103, 189, 255}, draw.PyramidGlyph{}},
}

// ours is Sluice's, where it is one of the marks.
var ours = look{color.RGBA{220, 20, 60, 255}, draw.CircleGlyph{}}

var (
	faint = color.RGBA{225, 225, 225, 255}
	ahead = color.RGBA{232, 245, 233, 255} // behind the marks where Sluice needs less
)

func (c *chart) draw(file string) error {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text = c.Title
	p.Title.TextStyle.Font.Size = 14
	p.Title.Padding = 8
	c.axes(p)
	if err := c.lines(p); err != nil {
		return err
	}
	for i, s := range c.Series {
		if err := c.marks(p, s, c.look(i)); err != nil {
			return err
		}
	}
	p.Legend.Top, p.Legend.Left = false, false
	canvas := vgsvg.New(width, rest+rowHeight*vg.Length(len(c.Rows)))
	c.lay(p, draw.New(canvas))
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// lay leaves room for the legend to the right.
func (c *chart) lay(p *plot.Plot, all draw.Canvas) {
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	const legend = 2 * vg.Inch
	l := p.Legend
	p.Legend = plot.NewLegend()
	p.Draw(draw.Crop(all, vg.Length(10), -legend, vg.Length(8), -vg.Length(8)))
	l.Top, l.Left = true, true
	l.TextStyle.Font.Size = 11
	l.Padding = 4
	l.Draw(draw.Crop(all, width-legend+vg.Length(6), 0, 0, -vg.Length(44)))
}

func (c *chart) look(i int) look {
	switch {
	case c.One:
		return looks[i%len(looks)]
	case i == 0:
		return ours
	default:
		return looks[(i-1)%len(looks)]
	}
}

// axes has the first row on top.
func (c *chart) axes(p *plot.Plot) {
	least, most := c.bounds()
	p.X.Label.Text = c.Scale
	p.X.Label.TextStyle.Font.Size = 11
	p.X.Min, p.X.Max = least, most
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.ConstantTicks(ticks(least, most))
	p.Y.Min, p.Y.Max = -0.6, float64(len(c.Rows))-0.4
	rows := make([]plot.Tick, len(c.Rows))
	for i, name := range c.Rows {
		rows[i] = plot.Tick{Value: c.at(i), Label: name}
	}
	p.Y.Tick.Marker = plot.ConstantTicks(rows)
	p.Y.Tick.Length = 0
	p.Y.Tick.Label.Font.Size = 11
	p.X.Tick.Label.Font.Size = 10
}

func (c *chart) at(row int) float64 { return float64(len(c.Rows) - 1 - row) }

// bounds are a little further apart than the marks, and 1 is between them where
// it means something.
func (c *chart) bounds() (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	if c.One {
		least, most = 0.5, 1.5
	}
	for _, s := range c.Series {
		for _, v := range s.Values {
			if v != nil {
				least, most = min(least, *v), max(most, *v)
			}
		}
	}
	if least > most {
		return 0.1, 10
	}
	return least / 1.2, most * 1.2
}

// ticks are 1, 2 and 5 of each power of ten.
func ticks(least, most float64) (all []plot.Tick) {
	for power := math.Pow(10, math.Floor(math.Log10(least))); power <= most; power *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if v := n * power; v >= least && v <= most {
				all = append(all, plot.Tick{Value: v, Label: fmt.Sprintf("%.3g", v)})
			}
		}
	}
	return all
}

// lines are what marks are read by: a shade for where Sluice is ahead, and a line
// for each row.
func (c *chart) lines(p *plot.Plot) error {
	if c.One {
		shade, err := plotter.NewPolygon(plotter.XYs{{X: p.X.Min, Y: p.Y.Min}, {X: 1, Y: p.Y.Min}, {X: 1, Y: p.Y.Max}, {X: p.X.Min, Y: p.Y.Max}})
		if err != nil {
			return err
		}
		shade.Color, shade.LineStyle.Width = ahead, 0
		p.Add(shade)
		if err := line(p, plotter.XYs{{X: 1, Y: p.Y.Min}, {X: 1, Y: p.Y.Max}}, color.Black, 1.5); err != nil {
			return err
		}
	}
	for i := range c.Rows {
		if err := line(p, plotter.XYs{{X: p.X.Min, Y: c.at(i)}, {X: p.X.Max, Y: c.at(i)}}, faint, 1); err != nil {
			return err
		}
	}
	return nil
}

func line(p *plot.Plot, points plotter.XYs, c color.Color, width vg.Length) error {
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Width = c, width
	p.Add(l)
	return nil
}

func (c *chart) marks(p *plot.Plot, s series, k look) error {
	var points plotter.XYs
	for row, v := range s.Values {
		if v != nil {
			points = append(points, plotter.XY{X: *v, Y: c.at(row)})
		}
	}
	if len(points) == 0 {
		return nil
	}
	m, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	m.GlyphStyle = draw.GlyphStyle{Color: k.color, Shape: k.shape, Radius: 4.5}
	p.Add(m)
	p.Legend.Add(s.Name, m)
	return nil
}
