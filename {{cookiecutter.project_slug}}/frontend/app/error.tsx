"use client";

export default function ErrorPage() {
  return (
    <main className="card">
      <h1 role="alert">This page is not available just now</h1>
      <p>Signing in does not work at the moment. Your tasks are safe.</p>
      <button type="button" className="primary" onClick={() => location.reload()}>
        Try again
      </button>
    </main>
  );
}
