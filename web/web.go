package web

import (
	"embed"
	"io/fs"
)

//go:embed static templates
var files embed.FS

// Static is the tree served under /static: flat, as modules and the stylesheet
// refer to each other by relative URL.
func Static() fs.FS { return sub("static") }

// Templates is the tree of pages. A page is named by its path without ".html":
// "connect/landing". Files in partials/ belong to every page, and a layout.html
// beside a page belongs to that page.
func Templates() fs.FS { return sub("templates") }

func sub(dir string) fs.FS {
	f, err := fs.Sub(files, dir)
	if err != nil {
		panic("web: " + err.Error()) // a constant that is no valid path
	}
	return f
}
