// Package web is what a browser is served: html/template pages, one
// stylesheet, a few small ES modules, and the data types of the partials that
// every page may use.
//
// It owns the look and the markup of shared parts, and keeps them accessible:
// a [Field] always has its label, and its help and error are tied to it. What
// a page says is up to the room that renders it (connect, admin); rendering
// and serving is package httpd's. Nothing here knows a request.
//
// templates/base.html holds the page around every page and documents how a
// page is written; static/app.css lists its classes at the top.
package web
