"""What a run is over: folders, films, addresses and manifests become one list of films in order."""
