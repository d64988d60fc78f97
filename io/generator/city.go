package generator

// Where generated rides start and end: a sketch of New York. Most are on Manhattan, a slanted island with avenues along it and a park in the middle, some in
// the boroughs around, and some at a few places that everybody goes to.

// spot is a place with rides around it, blurred by so many degrees of longitude and latitude.
type spot struct{ lon, lat, x, y float64 }

// popular are stations, squares and airports: their rides end within some fifty metres.
var popular = [...]spot{
	{-73.9915, 40.7503, 0.0005, 0.0004}, {-73.9865, 40.7566, 0.0006, 0.0005}, {-73.9776, 40.7527, 0.0005, 0.0004}, {-73.9903, 40.7359, 0.0005, 0.0004},
	{-73.8721, 40.7741, 0.0008, 0.0004}, {-73.7821, 40.6447, 0.0008, 0.0006}, {-74.0059, 40.7405, 0.0005, 0.0004}, {-73.9877, 40.7216, 0.0005, 0.0004},
	{-73.9818, 40.7681, 0.0004, 0.0004}, {-73.9665, 40.7618, 0.0005, 0.0004}, {-74.0135, 40.7128, 0.0005, 0.0004}, {-73.9569, 40.7180, 0.0006, 0.0005},
}

// boroughs are the parts of the city that are not Manhattan; those that stand twice are twice as busy.
var boroughs = [...]spot{
	{-73.990, 40.687, 0.011, 0.008}, {-73.982, 40.670, 0.012, 0.012}, {-73.953, 40.717, 0.008, 0.008}, {-73.953, 40.717, 0.008, 0.008}, {-73.945, 40.690, 0.016, 0.012},
	{-73.918, 40.766, 0.009, 0.009}, {-73.918, 40.766, 0.009, 0.009}, {-73.938, 40.747, 0.006, 0.006}, {-73.885, 40.749, 0.020, 0.007}, {-73.845, 40.725, 0.025, 0.014},
	{-73.915, 40.818, 0.012, 0.009}, {-73.895, 40.855, 0.020, 0.016}, {-73.960, 40.630, 0.025, 0.016}, {-74.020, 40.630, 0.008, 0.012}, {-73.875, 40.700, 0.040, 0.040},
	{-73.820, 40.690, 0.040, 0.035},
}

// The line along the middle of Manhattan, by latitude, and from shore to shore where it is widest.
const (
	middleLon, middleLat = -73.9760, 40.7648
	slant, slantEnds     = 0.7362, 0.42 // degrees of longitude a degree of latitude: between bends, and south and north of them
	bendSouth, bendNorth = 40.728, 40.812
	acrossLon, acrossLat = 0.0350, -0.0130
	avenues              = 13
)

// middle is the longitude of the line at a latitude.
func middle(lat float64) float64 {
	straight := min(max(lat, bendSouth), bendNorth)
	return middleLon + slant*(straight-middleLat) + slantEnds*(lat-straight)
}

// stretch is a part of Manhattan from south to north: latitudes of its middle line, its width there and its share of rides.
type stretch struct{ from, to, widthFrom, widthTo, share float64 }

var manhattan = [...]stretch{
	{40.703, 40.710, 0.35, 0.70, 0.04}, {40.710, 40.722, 0.70, 1.10, 0.09}, {40.722, 40.735, 1.10, 1.05, 0.14}, {40.735, 40.765, 1.05, 1.00, 0.43}, {40.765, 40.797, 1.00, 0.95, 0.21},
	{40.797, 40.825, 0.90, 0.60, 0.07}, {40.825, 40.872, 0.50, 0.30, 0.02},
}

// random is a sequence of values in [0, 1) from one seed.
type random uint64

func (r *random) next() float64 {
	*r++
	return unit(mix(uint64(*r)))
}

// blur is about normal, within two.
func (r *random) blur() float64 { return r.next() + r.next() + r.next() + r.next() - 2 }

// place draws a place in the city.
func place(seed uint64) (lon, lat float64) {
	r := random(seed)
	switch which := r.next(); {
	case which < 0.05:
		s := popular[int(r.next()*float64(len(popular)))]
		return s.lon + s.x*r.blur(), s.lat + s.y*r.blur()
	case which < 0.15:
		s := boroughs[int(r.next()*float64(len(boroughs)))]
		return inland(s.lon+s.x*1.6*r.blur(), s.lat+s.y*1.6*r.blur())
	}
	return island(&r)
}

// island draws a place on Manhattan.
func island(r *random) (lon, lat float64) {
	which, s := r.next(), manhattan[0]
	for _, s = range manhattan {
		if which -= s.share; which < 0 {
			break
		}
	}
	along := r.next()
	lat = s.from + (s.to-s.from)*along
	width := s.widthFrom + (s.widthTo-s.widthFrom)*along
	across := r.next() // west to east
	if lat > 40.7655 && lat < 40.7965 {
		if across = across * 0.76; across > 0.36 { // around the park
			across += 0.24
		}
	}
	if r.next() < 0.75 { // on an avenue, and not between two
		across = (float64(int(across*avenues)) + 0.5 + 0.07*r.blur()) / avenues
	}
	offset := (across - 0.5) * width
	return middle(lat) + offset*acrossLon, lat + offset*acrossLat
}

// inland moves what would be in the East River, or on the wrong side of it, to the other shore.
func inland(lon, lat float64) (float64, float64) {
	if lat < 40.700 || lat > 40.87 {
		return lon, lat
	}
	if shore := middle(lat) + 0.029; lon < shore {
		lon = 2*shore - lon
	}
	return lon, lat
}
