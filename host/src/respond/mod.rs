//! The pipeline of one alert, and the queue that runs many.
