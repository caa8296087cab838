import 'uplot/dist/uPlot.min.css';
import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { prefs } from './lib/prefs.svelte';

prefs.applyTheme();
const target = document.getElementById('app');
if (target) mount(App, { target });
