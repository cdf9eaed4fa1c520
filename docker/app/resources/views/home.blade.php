<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{{ config('app.name') }}</title></head>
<body>
<h1>{{ config('demo.greeting') }}</h1>
<p>Visit {{ $visits }} of this session.</p>
</body>
</html>
