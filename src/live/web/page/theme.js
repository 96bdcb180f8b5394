// Runs before anything is painted, so that nothing flashes in the wrong colours.
(() => {
  const kept = localStorage.getItem('simrun-theme');
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
})();
