#pragma once

// Everything is hidden unless marked PLICA_API.
#if defined(_WIN32)
#if defined(PLICA_BUILDING_SHARED)
#define PLICA_API __declspec(dllexport)
#elif defined(PLICA_SHARED)
#define PLICA_API __declspec(dllimport)
#else
#define PLICA_API
#endif
#else
#define PLICA_API __attribute__((visibility("default")))
#endif
