<?php

use App\Http\Controllers\DemoController;
use Illuminate\Support\Facades\Route;

Route::get('/', [DemoController::class, 'home'])->middleware('web');
Route::get('/status', [DemoController::class, 'status']);
Route::get('/env/{name}', [DemoController::class, 'variable']);
Route::get('/slow/{seconds}', [DemoController::class, 'slow']);
Route::post('/jobs', [DemoController::class, 'dispatchJob']);
