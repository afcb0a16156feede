"use strict";
// The service worker: keeps the files of this page, so that it works without a connection.
// Pages of one host share its caches, so the name has the address of this one.
const OWN = `bestiary ${registration.scope} `, VERSION = OWN + "/*version*/", FILES = /*files*/[];

addEventListener("install", event => event.waitUntil(caches.open(VERSION).then(cache => cache.addAll(FILES)).then(() => skipWaiting())));
addEventListener("activate", event => event.waitUntil(caches.keys().then(names =>
  Promise.all(names.filter(name => name.startsWith(OWN) && name !== VERSION).map(name => caches.delete(name))))));
addEventListener("fetch", event => {
  if (event.request.method === "GET") event.respondWith(caches.match(event.request, {ignoreSearch: true}).then(found => found || fetch(event.request)));
});
