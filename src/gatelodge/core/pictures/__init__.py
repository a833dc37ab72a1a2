"""Small pictures as SVG: pure functions, used by pages and by commands alike."""
