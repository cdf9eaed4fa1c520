<?php

namespace App\Http\Controllers;

use App\Events;
use App\Jobs\Work;
use Illuminate\Http\JsonResponse;
use Illuminate\Http\Request;
use Illuminate\Routing\Controller;
use Illuminate\Support\Facades\DB;

class DemoController extends Controller
{
    /** A Blade page with a session: compiles a view and writes a session file. */
    public function home(Request $request)
    {
        $visits = $request->session()->increment('visits');

        return view('home', ['visits' => $visits]);
    }

    /** What the container has done so far, and which .env it read. */
    public function status(): JsonResponse
    {
        return response()->json([
            'laravel' => app()->version(),
            'php' => PHP_VERSION,
            'greeting' => config('demo.greeting'),
            'env_path' => app()->environmentPath(),
            'config_cached' => app()->configurationIsCached(),
            'user' => posix_getpwuid(posix_geteuid())['name'] ?? posix_geteuid(),
            'jobs' => [
                'done' => Events::count('job-done'),
                'started' => Events::count('job-started'),
                'waiting' => DB::table('jobs')->count(),
                'failed' => DB::table('failed_jobs')->count(),
            ],
            'ticks' => [
                'foreground' => Events::times('tick'),
                'background' => Events::times('background-tick'),
            ],
        ]);
    }

    /** One variable as this PHP-FPM worker has it, by each of PHP's three ways. */
    public function variable(string $name): JsonResponse
    {
        $value = getenv($name);

        return response()->json([
            'getenv' => $value === false ? null : $value,
            'server' => $_SERVER[$name] ?? null,
            'env' => $_ENV[$name] ?? null,
        ]);
    }

    /** Answers after that time, whatever signals come: PHP-FPM's own signals cut a sleep short. */
    public function slow(string $seconds): JsonResponse
    {
        $end = microtime(true) + (float) $seconds;
        while (microtime(true) < $end) {
            usleep(20000);
        }

        return response()->json(['slept' => (float) $seconds, 'pid' => getmypid()]);
    }

    /** Puts a job on the queue. `name`, `seconds` and `end` as in [Work]. */
    public function dispatchJob(Request $request): JsonResponse
    {
        Work::dispatch(
            $request->query('name', 'job'),
            (float) $request->query('seconds', 0),
            $request->query('end', 'ok')
        );

        return response()->json(['queued' => true], 202);
    }
}
